"""How the API server is spoken to: one client, typed objects, errors by meaning, watches."""
