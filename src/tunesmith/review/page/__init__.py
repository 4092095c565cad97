"""The page on which people judge: plain forms, and a script that makes them fast."""
