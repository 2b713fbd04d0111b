"""Model bundles: what a manifest promises, checked, and the sessions that score."""
