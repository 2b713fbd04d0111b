"""Prices from recorded files and from the table of last resort."""
