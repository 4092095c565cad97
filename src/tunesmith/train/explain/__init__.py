"""What each worker of a run holds and what travels between workers, said before the run."""
