"""Language models: each next token from those before it."""
