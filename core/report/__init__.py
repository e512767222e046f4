"""What a user sees of a run, and the statistics of its scores."""
