"""Image classifiers of the decade, a paper a file."""
