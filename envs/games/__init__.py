"""Board games as compiled rules."""
