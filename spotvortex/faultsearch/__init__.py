"""Random episodes in which much goes wrong, judged by invariants, and made small where one breaks."""
