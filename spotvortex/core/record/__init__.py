"""A decision written down, read back, made again, and turned over by what-ifs."""
