"""Images to be made: batches of them, the judge's distance, grids and films.

Legend: B images of a batch, N images, C channels, H W plane, K classes, Z noise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from core.errors import UserError
from core.learner import Arithmetic, DivergedError, load_weights
from core.seeds import derived_seed
from tasks.data.image_sets import load_images
from tasks.epochs import Epochs
from tasks.gan.config import GANConfig
from tasks.gan.judge import Judge, frechet_distance
from tasks.gan.target import Judged, Maker
from tasks.pictures import grid
from tasks.problem import Stop

SHOWN, COLUMNS = 64, 8
FILMED, STOPS, FRAMES = 16, 4, 12
"""Images of a film, places in the noise that it goes through, frames from one to the next."""


class Pictures:
    """A set of images, padded with black to squares that the model can make."""

    def __init__(self, config: GANConfig, side_made: Callable[[int], int]) -> None:
        """Args:
        config: names the data.
        side_made: pixels a side that the model makes where so many are wanted.

        Raises:
            UserError: the data are not here or damaged, smaller than a batch, or too few to judge.
        """
        self.config = config
        self.data = load_images(config.data)
        for part in ("train", "validation", "test"):
            if len(getattr(self.data, part)) < 2:
                raise UserError(
                    f"{config.data} has fewer than 2 images in its {part} part: too few to judge "
                    "what is made"
                )
        channels, height, width = self.data.shape
        side = side_made(max(height, width))
        self.shape: tuple[int, ...] = (channels, side, side)
        top, left = (side - height) // 2, (side - width) // 2
        self.place = (slice(top, top + height), slice(left, left + width))
        seed = derived_seed(config.run.seed, "images")
        self.epochs = Epochs(config.batch_size, len(self.data.train), seed)
        self.judge_network = Judge(self.data)
        self._held_out: dict[str, np.ndarray] = {}

    def draw(self, number: int, count: int) -> np.ndarray:
        """Images float32 [B, C, side, side] of -1 to 1; each comes once an epoch."""
        pixels = self.data.train.pixels[self.epochs.batch(number * count)]
        images = np.full((count, *self.shape), -1, np.float32)
        images[:, :, *self.place] = pixels.astype(np.float32) / 127.5 - 1
        return images

    def judge(
        self, maker: Maker, arithmetic: Arithmetic, held_out: str, stop: Stop
    ) -> Judged | None:
        """The Fréchet distance to held-out images, how many classes the judge sees, and how evenly.

        Beside it stands the distance of as many training images, which a perfect generator has.
        """
        made = maker.draw(self.config.samples, stop)
        if made is not None and not np.isfinite(made).all():
            raise DivergedError("the generator makes NaN: lower --learning-rate")
        if made is None or not self.judge_network.learn(stop):
            return None
        found = self.judge_network.features(self._cut(made), stop)
        reference = self._features(held_out, stop)
        floor = self._features("train", stop)
        if found is None or reference is None or floor is None:
            return None
        distance = frechet_distance(found[0], reference)
        perfect = frechet_distance(floor, reference)
        shares = np.bincount(found[1], minlength=len(self.data.classes)) / len(made)
        scores = {
            "frechet": distance,
            "frechet_of_data": perfect,
            "classes": float(np.exp(-(shares * np.log(np.maximum(shares, 1e-12))).sum())),
            "rarest_class": float(shares.min()),
        }
        line = (
            f"Fréchet distance {distance:.2f} in the judge's features (of data {perfect:.2f}), "
            f"{scores['classes']:.1f} of {len(shares)} classes by entropy (rarest "
            f"{shares.min():.1%})"
        )
        pictures = {"samples": grid(as_pixels(made[:SHOWN]), COLUMNS)}
        return Judged(-distance, scores, line, pictures, self._film(maker))

    def _features(self, part: str, stop: Stop) -> np.ndarray | None:
        """Those of a part of the data, of training images as many as samples, of all classes."""
        if part not in self._held_out:
            pixels = getattr(self.data, part).pixels
            if part == "train":  # a folder's come class by class
                mixed = np.random.default_rng(0).permutation(len(pixels))
                pixels = pixels[np.sort(mixed[: self.config.samples])]
            found = self.judge_network.features(pixels, stop)
            if found is None:
                return None
            self._held_out[part] = found[0]
        return self._held_out[part]

    def _cut(self, images: np.ndarray) -> np.ndarray:
        """Images without their padding, and at full size: [N, C, H, W]."""
        grown = self.shape[1] // images.shape[2]
        images = images.repeat(grown, axis=2).repeat(grown, axis=3)
        return np.ascontiguousarray(images[:, :, *self.place])

    def _film(self, maker: Maker) -> list[np.ndarray]:
        """From some noise to other noise and back, on the sphere near which noise lies."""
        if not self.config.run.video:
            return []
        random = np.random.default_rng(self.config.run.seed)
        stops = random.normal(size=(STOPS, FILMED, maker.generator.noise_features))
        frames = []
        for here, there in zip(stops, np.roll(stops, -1, axis=0), strict=True):
            for angle in np.arange(FRAMES) / FRAMES * np.pi / 2:
                noise = np.cos(angle) * here + np.sin(angle) * there
                frames.append(grid(as_pixels(maker.of_noise(noise)), FILMED // 4))
        return frames

    def weights(self) -> dict[str, Tensor]:
        """The judge's, once it has learned."""
        return dict(self.judge_network.network.state_dict()) if self.judge_network.ready else {}

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Judge as it was saved."""
        if weights:
            load_weights(self.judge_network.network, weights)
            self.judge_network.ready = True
            self._held_out = {}

    def identity(self) -> dict[str, Any]:
        """The data's digest."""
        return {"data": self.data.digest()}

    def describe(self) -> list[str]:
        """Sizes and licence."""
        data, (channels, height, width) = self.data, self.data.shape
        return [
            f"{data.name}: {len(data.train):,} images of {height}x{width} pixels to be like, "
            f"made with {self.shape[1]}x{self.shape[2]}, {channels} channel{'s' * (channels > 1)}; "
            f"licence: {data.licence}"
        ]


def as_pixels(images: np.ndarray) -> np.ndarray:
    """Images float32 of -1 to 1 as uint8."""
    return np.clip(np.round((images + 1) * 127.5), 0, 255).astype(np.uint8)
