"""Training of the demo checkpoint from scratch; see README.md. Nothing in audiox_core or nodes imports this."""
