"""Groups of nodes that are no objects of the cluster: how they are known, and their journal."""
