"""Workers on hosts that share no files with the driver: what they need and what they leave travels by Ray."""
