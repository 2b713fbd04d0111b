"""The policy judged: worlds, runs of every policy in them, statistics and a verdict."""
