"""The edge to the cloud: what AWS itself says, in our own words."""
