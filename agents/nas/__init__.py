"""Neural architecture search with a controller that learns: Zoph and Le 2017, arXiv 1611.01578."""
