"""The tasks of the daemon and the channels between them. They know core and ports only."""
