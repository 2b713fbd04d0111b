"""One pool, reduced to what decisions read: what blocks, what may be lost, what room there is."""
