"""Small experiments that show something known, each a script of its own with its command."""
