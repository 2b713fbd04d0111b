"""Predictions kept until it is known what came of them."""
