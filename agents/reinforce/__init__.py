"""REINFORCE with a learned baseline: Williams 1992; Sutton and Barto 2018, section 13.4."""
