"""One drain: its messages, its requests, and the next step from what the cluster shows."""
