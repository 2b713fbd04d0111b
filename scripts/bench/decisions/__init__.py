"""Figures of decisions: what policies cost and save on simulated and replayed markets."""
