"""What each offering that a pool may use is expected to cost, and which of them to leave aside."""
