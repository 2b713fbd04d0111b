"""What the tasks ask of the outside, as protocols over values of the core."""
