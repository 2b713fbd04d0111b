"""The cluster as watches keep it: indexed, snapshotted without copying, refreshed on demand."""
