"""Prices from recorded files, from the table of last resort, and from scripts for tests."""
