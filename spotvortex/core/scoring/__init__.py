"""What a model reads and what the controller remembers: features, hazards, interruptions."""
