"""Rows in, packed token shards out: sources, formats, audit, split, render, pack."""
