"""What a run knows of its machine: kernels, threads, signals, memory, the fastest arithmetic."""
