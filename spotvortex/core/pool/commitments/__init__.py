"""What commitments pay for in a cluster, and what a node costs at the margin by that."""
