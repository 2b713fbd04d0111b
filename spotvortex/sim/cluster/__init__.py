"""The simulated cluster: its objects, its scheduler and controllers, its API server."""
