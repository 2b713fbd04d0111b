"""Programs for people who work on SpotVortex; nothing here is installed."""
