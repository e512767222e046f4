"""Networks made of designs that a search found: plain JSON in, modules out."""
