"""The witness: what proves the active mode from outside; imports nothing of the product."""
