"""Tree search over games."""
