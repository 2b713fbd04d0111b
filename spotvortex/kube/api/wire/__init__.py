"""Objects as the API server sends them: the fields that are read, and how they are decoded."""
