"""A bundle put on trial before it is used: how it behaves, how fast it is, how good it was."""
