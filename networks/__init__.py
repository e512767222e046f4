"""Networks that agents use: torsos from observation to features."""
