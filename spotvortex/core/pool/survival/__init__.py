"""What a loss of Spot leaves of a pool's workloads, and how well the pool is prepared for it."""
