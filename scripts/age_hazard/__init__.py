"""The age hazard: a table fitted from recorded series, and the graph made of it."""
