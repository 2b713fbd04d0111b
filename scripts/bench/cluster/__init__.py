"""Figures of large clusters: lists, changes, cycles, usage."""
