"""What a person asks of a cluster: rights, leftovers, removal, dry-run evictions."""
