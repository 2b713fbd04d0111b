"""The first look at a cluster: what there is to gain and what would break."""
