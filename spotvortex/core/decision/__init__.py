"""One decision: what a policy proposes, which gates refuse, which nodes move."""
