"""The HTTP server of the daemon: who may ask what, and what is answered."""
