"""The shipped tables of on-demand prices: fetched from the price list, or built from a file."""
