"""What agents act in: Atari, Gymnasium environments, small worlds with known answers."""
