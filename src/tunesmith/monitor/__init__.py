"""Watching what is served: traffic, drift, quality; and retraining that earns its promotion."""
