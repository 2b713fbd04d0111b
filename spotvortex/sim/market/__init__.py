"""The simulated cloud: what there is of each offering, and at what price."""
