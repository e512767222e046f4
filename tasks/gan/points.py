"""Gaussians in the plane: how many of them a generator finds, and how well it hits them.

    ring    8 of deviation 0.02, on a circle of radius 2        Metz et al. 2016, arXiv 1611.02163
    grid    25 of deviation 0.05, 2 apart                       Srivastava et al. 2017, 1705.07761

As the latter count, a sample within three deviations of the nearest centre is good, and a mode is
hit when it is the nearest to a good sample. Of the data themselves 98.89 % are good.

Legend: N samples, M modes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from core.learner import Arithmetic
from core.seeds import derived_seed
from tasks.gan.config import GANConfig
from tasks.gan.target import Judged, Maker
from tasks.pictures import figure_pixels
from tasks.problem import Stop

DEVIATIONS = {"ring": 0.02, "grid": 0.05}
RADIUS, APART = 2.0, 2.0
GOOD = 3.0
"""Deviations from a centre."""


def centres_of(data: str) -> np.ndarray:
    """The modes' centres, float64 [M, 2]."""
    if data == "ring":
        angles = np.arange(8) * (2 * np.pi / 8)
        return RADIUS * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    places = APART * np.arange(-2, 3)
    return np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)


def count_hits(samples: np.ndarray, centres: np.ndarray, deviation: float) -> np.ndarray:
    """Good samples of each mode, int64 [M], of samples [N, 2]."""
    distances = np.linalg.norm(samples[:, None] - centres, axis=2)  # [N, M]
    good = distances.min(axis=1) <= GOOD * deviation
    return np.bincount(distances.argmin(axis=1)[good], minlength=len(centres))


class Points:
    """A mixture of Gaussians, each as likely as another."""

    shape: tuple[int, ...] = (2,)

    def __init__(self, config: GANConfig) -> None:
        """`config` names the mixture."""
        self.name = config.data
        self.centres = centres_of(config.data)
        self.deviation = config.deviation or DEVIATIONS[config.data]
        self.samples = config.samples
        self.seed = derived_seed(config.run.seed, "points")

    def draw(self, number: int, count: int) -> np.ndarray:
        """Points float32 [B, 2], never the same ones twice."""
        random = np.random.default_rng([self.seed, number])
        centres = self.centres[random.integers(len(self.centres), size=count)]
        return (centres + self.deviation * random.normal(size=centres.shape)).astype(np.float32)

    def judge(
        self, maker: Maker, arithmetic: Arithmetic, held_out: str, stop: Stop
    ) -> Judged | None:
        """Modes hit, and the share of good samples; what is held out has endless examples."""
        samples = maker.draw(self.samples, stop)
        if samples is None:
            return None
        hits = count_hits(samples, self.centres, self.deviation)
        modes, share = int((hits > 0).sum()), float(hits.sum() / len(samples))
        rarest = float(hits.min() / len(samples))
        scores = {"modes": float(modes), "good_share": share, "rarest_mode": rarest}
        line = (
            f"{modes} of {len(hits)} modes hit, {share:.1%} of {len(samples):,} samples within 3 "
            f"deviations of one (rarest mode {rarest:.1%})"
        )
        return Judged(modes + share, scores, line, {"samples": self._picture(samples)})

    def _picture(self, samples: np.ndarray) -> np.ndarray:
        """Samples over the modes."""
        edge = float(np.abs(self.centres).max()) + 1

        def draw(figure: Any) -> None:
            axes = figure.add_subplot()
            axes.scatter(*self.centres.T, s=60, facecolors="none", edgecolors="tab:orange")
            axes.scatter(*samples.T, s=2, alpha=0.4)
            axes.set(xlim=(-edge, edge), ylim=(-edge, edge), aspect="equal")

        return figure_pixels(draw, 4, 4)

    def weights(self) -> dict[str, Tensor]:
        """None: distances need no learning."""
        return {}

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """None."""

    def identity(self) -> dict[str, Any]:
        """The mixture."""
        return {"data": self.name, "deviation": self.deviation}

    def describe(self) -> list[str]:
        """How many modes of what size."""
        return [f"{self.name}: {len(self.centres)} Gaussians of deviation {self.deviation:g}"]
