"""Judged runs and backtests, as text, JSON and one page."""
