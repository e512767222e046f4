"""What three papers or more share: activations, normalisation, initialisation, attention."""
