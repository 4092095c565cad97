"""Write a tuned model as one folder that any tool loads."""
