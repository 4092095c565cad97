"""One training loop, its checkpoints, and the Ray Train driver that runs it on workers."""
