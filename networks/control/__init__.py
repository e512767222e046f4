"""Networks made for agents: what they see in, features or moves out."""
