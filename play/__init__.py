"""Ways to play: in the terminal, over GTP, in matches."""
