"""The agents of stable-baselines3 (Raffin et al. 2021) on our lanes, as yardsticks."""
