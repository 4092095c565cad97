"""The whole way: prepare, train, evaluate, register."""
