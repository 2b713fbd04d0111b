"""The savings ledger for people and for other programs."""
