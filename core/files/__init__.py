"""What lies on disk: checkpoints, run folders, and writing that a crash cannot halve."""
