"""What survives a restart, in plain text on a volume."""
