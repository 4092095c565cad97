"""Training again when it pays: what starts it, what it learns from, what it must show, and how it meets users."""
