"""Designing a network as a sequence of decisions: the spaces, and what a decision may be."""
