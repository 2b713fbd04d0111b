"""The local control plane as test equipment: real servers on loopback, run by tests."""
