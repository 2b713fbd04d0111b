"""Figures of waves: many nodes moved at once, beside a bare script of the same steps."""
