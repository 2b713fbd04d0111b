"""Owners of pods, their budgets and their selectors, as the cache holds them."""
