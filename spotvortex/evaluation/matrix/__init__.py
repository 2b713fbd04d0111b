"""Protocol 2: what users run beside it, at what an interruption costs them, cell by cell."""
