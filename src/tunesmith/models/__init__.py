"""Base models and adapters: where they come from, how they are loaded."""
