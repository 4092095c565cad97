"""Talk to a tuned model in the terminal."""
