"""What blocks each node's drain, and the fix."""
