"""Data sets that lie on this machine: found, checked, and split. Nothing is downloaded."""
