"""A simulated cluster and market behind the same ports, and the loop that paces their time."""
