"""The cluster at the API server: read fast, written to in one place, and left in order."""
