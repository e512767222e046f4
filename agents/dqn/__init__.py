"""Deep Q-learning: Mnih et al. 2013 (arXiv 1312.5602) and 2015 (doi 10.1038/nature14236)."""
