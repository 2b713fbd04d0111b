"""The edge to the cloud: what AWS itself says, in the words of the core."""
