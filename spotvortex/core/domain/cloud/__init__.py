"""What the cloud and a provisioner do to nodes, as values: ends, launches, notices."""
