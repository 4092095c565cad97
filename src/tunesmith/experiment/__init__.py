"""Experiments: who sees which variant, what that shows, and what to do about it."""
