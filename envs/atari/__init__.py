"""Atari 2600: native lanes, the protocols under which scores count, published scores."""
