"""Auto Scaling groups and EKS node groups in AWS: read, grown, and given back."""
