"""Experience that is kept: a ring of rows, and what is drawn from it."""
