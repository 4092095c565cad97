"""Many trials of one recipe under one budget: which to try, when to stop one, what all of it came to."""
