"""The active mode, proven by a witness that shares no code with it."""
