"""The Helm chart, made of what kustomize builds: one source for both."""
