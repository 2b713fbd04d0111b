"""The words that all else is about: capacity, labels, limits, what was seen and announced."""
