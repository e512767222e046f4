"""Generators of samples and the critics that they are trained against."""
