"""Every word that a person types, and nothing else."""
