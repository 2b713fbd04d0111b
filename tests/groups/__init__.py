"""Auto Scaling groups and EKS node groups as the daemon's own to grow, without Karpenter."""
