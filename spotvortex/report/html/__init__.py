"""Self-contained pages and their plots."""
