"""API keys: made, checked, revoked; and the audit trail of who did what."""
