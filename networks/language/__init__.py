"""Language models and translators of the decade, a paper a file."""
