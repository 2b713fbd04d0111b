"""A simulated world that runs: virtual time, replicas of the daemon, people, faults, bills."""
