"""Metrics, traces and the decision journal."""
