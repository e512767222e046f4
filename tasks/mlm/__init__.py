"""Masked language models: hidden tokens from those on both sides."""
