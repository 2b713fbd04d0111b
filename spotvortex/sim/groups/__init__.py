"""Auto Scaling groups of the simulated cluster: the cloud's side."""
