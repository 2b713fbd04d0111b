"""Files that people keep and that are read again when they change: prices, commitments."""
