"""Clusters by Ray's launcher: what a file would rent and cost, starting and ending it, and whether anything is left."""
