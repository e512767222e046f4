"""What scores say: summaries, human-normalised scores, and intervals over runs.

Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice"
(arXiv 2108.13264): with few runs, report the interquartile mean with a stratified bootstrap
interval instead of a best or a mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000


@dataclass(frozen=True)
class ScoreSummary:
    """Raw scores of episodes in a few numbers."""

    episodes: int
    mean: float
    median: float
    standard_error: float | None
    """Of the mean; unknown for a single episode."""
    minimum: float
    maximum: float

    @property
    def mean_and_error(self) -> str:
        """'18.60 ± 0.45', without an error where it is unknown."""
        error = "" if self.standard_error is None else f" ± {self.standard_error:.2f}"
        return f"{self.mean:.2f}{error}"


def summarise(scores: Sequence[float]) -> ScoreSummary:
    """Summary of episode scores. Raises ValueError for none."""
    if not len(scores):
        raise ValueError("there are no scores to summarise")
    values = np.asarray(scores, dtype=np.float64)
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return ScoreSummary(
        len(values),
        float(values.mean()),
        float(np.median(values)),
        error,
        float(values.min()),
        float(values.max()),
    )


def wilson_interval(rate: float, games: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a rate (Wilson 1927); 95 % for the default z."""
    n = max(games, 1)
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def human_normalised(score: float, random: float, human: float) -> float:
    """0 for random play, 1 for a human (Mnih et al. 2015, without the percent)."""
    return (score - random) / (human - random)


def interquartile_mean(scores: np.ndarray) -> float:
    """Mean of the middle half of all values, whatever their shape."""
    return float(_middle_half(np.asarray(scores, dtype=np.float64).ravel()))


def interquartile_mean_interval(
    scores: Mapping[str, Sequence[float]],
    seed: int,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> tuple[float, float, float]:
    """Interquartile mean over runs and games, and its stratified bootstrap interval.

    Args:
        scores: game to one score per run; runs are resampled within each game.
        seed: of the resampling.
        confidence: share of the distribution between the bounds.
        resamples: bootstrap samples.

    Returns:
        (estimate, lower bound, upper bound); the bounds equal the estimate for single runs.
    """
    games = [np.asarray(runs, dtype=np.float64) for runs in scores.values()]
    if not games or any(len(runs) == 0 for runs in games):
        raise ValueError("every game needs at least one run")
    rng = np.random.default_rng(seed)
    drawn = np.concatenate(
        [runs[rng.integers(0, len(runs), (resamples, len(runs)))] for runs in games], axis=1
    )  # [resamples, runs of all games]
    means = _middle_half(drawn)
    return (interquartile_mean(np.concatenate(games)), *_interval(means, confidence))


def _middle_half(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis without its lowest and highest quarter, rounded down."""
    cut = values.shape[-1] // 4
    middle: np.ndarray = np.sort(values, axis=-1)[..., cut : values.shape[-1] - cut]
    mean: np.ndarray = middle.mean(axis=-1)
    return mean


def _interval(means: np.ndarray, confidence: float) -> tuple[float, float]:
    tail = 50 * (1 - confidence)
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)
