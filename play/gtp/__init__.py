"""A GTP 2 engine for graphical clients, matches and servers."""
