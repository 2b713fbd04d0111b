"""How Cluster Autoscaler is asked for nodes, and what is written on its nodes meanwhile."""
