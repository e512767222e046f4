"""Tabular Q-learning: Watkins 1989; Watkins and Dayan 1992."""
