"""The cluster at the API server: reading it fast, and later the one place that writes to it."""
