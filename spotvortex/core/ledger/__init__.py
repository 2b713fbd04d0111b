"""The savings ledger: node-hours and what they cost, what was saved, and beside what."""
