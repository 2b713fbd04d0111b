"""What Karpenter's own metrics say of prices and of capacity, live and from a Prometheus."""
