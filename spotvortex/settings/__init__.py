"""Every setting: what may be set, how it is told, and how it is read from the environment."""
