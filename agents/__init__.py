"""Agents, a folder each, in the order of their papers."""
