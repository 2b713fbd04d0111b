"""What keeps replicas apart and survives them: lease, freeze, saved state."""
