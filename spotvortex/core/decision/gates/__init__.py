"""The checks that can refuse or shrink an action, by what they ask about."""
