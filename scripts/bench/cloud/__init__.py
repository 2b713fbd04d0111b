"""Figures of AWS: requests, memory, stalls, and the first price."""
