"""What nodes and pods really use, as the cluster itself measures it."""
