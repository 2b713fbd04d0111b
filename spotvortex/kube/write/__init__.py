"""The requests that change the cluster, each checked against what is there."""
