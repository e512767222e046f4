"""AlphaGo (Silver et al. 2016): learn from games, improve by reinforcement, judge, search."""
