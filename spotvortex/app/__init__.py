"""The composition roots: what is opened for a daemon, for one look, for an uninstall."""
