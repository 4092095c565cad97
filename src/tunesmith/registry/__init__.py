"""Immutable model versions with their lineage, and movable aliases."""
