"""The cloud as values: ends of nodes, launches, notices, commitments, and names of zones."""
