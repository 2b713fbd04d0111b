"""Figures of losses: from a notice to the cordon, the first eviction and the last pod."""
