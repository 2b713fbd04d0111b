"""What a simulated world costs, serves and loses, counted beside it."""
