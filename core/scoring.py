"""Scores an agent in training by whole episodes, on lanes apart from those of training."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import numpy as np

from core.agent import Assessment, Evaluate
from core.config import RunConfig
from core.evaluation import Policy, cut_note, play_episodes
from core.lanes import Lanes, Step

MOST_LANES = 16
ANIMATION_FRAMES = 240
ANIMATION_STRIDE = 2


def by_episodes(
    open_lanes: Callable[[int], Lanes],
    make_policy: Callable[[Lanes, int], Policy],
    normalise: Callable[[float], float | None],
    run: RunConfig,
) -> Evaluate:
    """A task's ``evaluate``: the mean score of so many episodes, and a film where there are images.

    Args:
        open_lanes: from their number to the lanes.
        make_policy: from (lanes, seed) to the present policy.
        normalise: raw score to human-normalised score.
        run: how many episodes, how long, and whether to film.
    """

    def evaluate(agent_steps: int, seed: int, stop: Callable[[], bool]) -> Assessment | None:
        wanted = run.evaluate_episodes
        each = ceil(wanted / MOST_LANES)  # as many on every lane: none waits for a longer share
        lanes = open_lanes(ceil(wanted / each))
        filmed = lanes.observation_spec.is_image and run.video
        frames: list[np.ndarray] = []

        def watch(step: Step, actions: np.ndarray) -> None:
            if filmed and len(frames) < ANIMATION_FRAMES * ANIMATION_STRIDE:
                frames.append(step.observation[0].copy())

        try:
            policy = make_policy(lanes, seed)
            bound = run.evaluate_max_steps
            episodes = play_episodes(lanes, policy, wanted, seed, watch, stop, bound)
        finally:
            lanes.close()
        if len(episodes) < wanted:
            return None
        scores = [episode.score for episode in episodes]
        mean = float(np.mean(scores))
        scalars = {
            "evaluation/mean": mean,
            "evaluation/median": float(np.median(scores)),
            "evaluation/cut_episodes": float(sum(episode.cut for episode in episodes)),
        }
        normalised = normalise(mean)
        if normalised is not None:
            scalars["evaluation/human_normalised"] = normalised
        text = f"evaluation {mean:.2f} (mean of {len(scores)} episodes{cut_note(episodes)})"
        return Assessment(scores, mean, scalars, text, frames[::ANIMATION_STRIDE])

    return evaluate
