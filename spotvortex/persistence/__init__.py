"""What survives a restart in a file."""
