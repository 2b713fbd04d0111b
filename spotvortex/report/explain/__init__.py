"""Decision records told to a person, and logs made again."""
