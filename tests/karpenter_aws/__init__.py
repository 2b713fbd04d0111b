"""Karpenter with its real AWS provider, over an emulator of AWS on loopback, and the daemon."""
