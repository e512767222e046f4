"""Zero: games learned from self-play alone."""
