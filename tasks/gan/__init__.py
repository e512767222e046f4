"""Generators and critics against each other: points of the plane, and images."""
