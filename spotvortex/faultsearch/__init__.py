"""Random episodes in which much goes wrong, judged by invariants, and shrunk where one breaks."""
