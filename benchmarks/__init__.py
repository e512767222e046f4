"""How fast the suite is, and how fast other libraries are at the same on the same machine."""
