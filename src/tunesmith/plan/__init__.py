"""Before a run: memory, time and dollars of every way to place it. During a run: what it has cost. No torch, no ray."""
