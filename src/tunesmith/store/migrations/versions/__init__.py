"""Migrations, oldest first. They never import `tunesmith.store.tables`: they must not change when the tables do."""
