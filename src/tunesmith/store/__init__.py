"""What must last: SQL tables and files, nothing else."""
