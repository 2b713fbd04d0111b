"""SpotVortex: how much of each workload pool may run on Spot, decided, proven and explained."""

__version__ = "0.1.0"
