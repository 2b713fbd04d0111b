"""The words that all other packages use: capacity, labels, limits, observations, notices."""
