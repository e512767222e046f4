"""Searching for designs: what every searcher can be asked, and the rivals of the controller."""
