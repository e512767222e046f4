"""Supervised work: a network learns from examples that carry their answers."""
