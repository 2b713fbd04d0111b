"""Measurements, each comparing within one run; none of them is a timed test."""
