"""What a user starts. Thin: parse, call, print. Nothing here imports torch before it must."""
