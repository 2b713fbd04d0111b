"""JSON Schemas of what SpotVortex prints, serves and keeps, made from its own classes."""
