"""AlphaGo (Silver et al. 2016): policies learned from games, and search with them."""
