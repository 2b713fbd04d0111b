"""The active mode as its own process, on a real API server."""
