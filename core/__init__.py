"""The rollout and training core. It knows no agent, no environment and no game."""
