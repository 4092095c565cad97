"""Launch, submit, follow, fetch: Ray jobs on someone else's machines."""
