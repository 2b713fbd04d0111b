"""The active mode, proven on a real control plane from outside."""
