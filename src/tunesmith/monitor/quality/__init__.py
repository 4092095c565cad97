"""Whether answers are still as good as on the day of release: streams of numbers, and when they get worse."""
