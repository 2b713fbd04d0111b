"""Many runs over processes or machines, each kept as soon as it has ended."""
