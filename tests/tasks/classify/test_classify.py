"""Augmentation by hand, scores of a known network, and a folder of images that is learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from core.config import check
from core.errors import UserError
from core.learner import Arithmetic
from core.trainer import Trainer
from networks.base import ImageNetwork
from tasks.classify.augment import cutout, flip, noisy_labels, shift
from tasks.classify.config import ClassifyConfig
from tasks.classify.task import Classification
from tasks.confusion import count_confusions
from tasks.options import TrainingConfig

MakeTrainer = Callable[..., Trainer]

NUMBERS = np.arange(1, 2 * 3 * 5 * 7 + 1).reshape(2, 3, 5, 7)


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_shifts_move_whole_images() -> None:
    images = np.repeat(NUMBERS, 40, axis=0)
    moved = shift(images, 2, generator())
    seen = set()
    for before, after in zip(images, moved, strict=True):
        found = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-2, 3)
            if np.array_equal(after, slow_shift(before, down, right))
        ]
        assert len(found) == 1
        seen.add(found[0])
    assert len(seen) == 25


def slow_shift(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """One image moved, pixel by pixel."""
    moved = np.zeros_like(image)
    for channel, row, column in np.ndindex(image.shape):
        y, x = row - down, column - right
        if 0 <= y < image.shape[1] and 0 <= x < image.shape[2]:
            moved[channel, row, column] = image[channel, y, x]
    return moved


def test_half_of_the_images_are_mirrored() -> None:
    images = np.repeat(NUMBERS, 100, axis=0)
    mirrored = flip(images, generator())
    same = (mirrored == images).all(axis=(1, 2, 3))
    np.testing.assert_array_equal(mirrored[~same], images[~same][..., ::-1])
    assert 70 < same.sum() < 130


def test_cutout_covers_one_square() -> None:
    images = np.full((300, 2, 6, 6), 9)
    covered = cutout(images, 3, np.array([1.0, 2.0]), generator())
    assert set(np.unique(covered[:, 0])) == {1, 9} and set(np.unique(covered[:, 1])) == {2, 9}
    hidden = covered[:, 0] == 1
    np.testing.assert_array_equal(hidden, covered[:, 1] == 2)
    heights, widths = hidden.any(axis=2).sum(axis=1), hidden.any(axis=1).sum(axis=1)
    sizes = list(zip(heights.tolist(), widths.tolist(), strict=True))
    assert [h * w for h, w in sizes] == hidden.sum(axis=(1, 2)).tolist()  # rectangles
    assert set(sizes) == {(h, w) for h in (2, 3) for w in (2, 3)}  # cut off by an edge, or whole
    assert hidden.any(axis=0).all()


def test_so_many_labels_are_noise() -> None:
    labels = np.arange(1000) % 10
    noisy = noisy_labels(labels, 10, 0.3, seed=1)
    assert (noisy != labels).sum() == pytest.approx(300 * 0.9, abs=30)
    np.testing.assert_array_equal(noisy, noisy_labels(labels, 10, 0.3, seed=1))
    assert not np.array_equal(noisy, noisy_labels(labels, 10, 0.3, seed=2))
    np.testing.assert_array_equal(noisy_labels(labels, 10, 0.0, seed=1), labels)


def test_confusions_are_counted_by_true_class() -> None:
    counts = count_confusions(np.array([0, 0, 2, 1]), np.array([0, 1, 2, 2]), 3)
    assert counts.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 1]]


class BrighterHalf(ImageNetwork):
    """Knows the folder of images: is the right half brighter? Says left where `blind`."""

    smallest_input = 1
    num_features = 1

    def __init__(self, blind: bool = False) -> None:
        super().__init__()
        self.blind = blind

    def forward(self, images: Tensor) -> Tensor:
        """[B, 2]"""
        left, right = (half.mean(dim=(1, 2, 3)) for half in images.chunk(2, dim=3))
        logits = torch.stack([left, right], dim=1)
        return logits * 0 + torch.tensor([1.0, 0.0]) if self.blind else logits


def test_scores_of_a_network_that_knows_and_of_one_that_does_not(image_folder: Path) -> None:
    problem = Classification(ClassifyConfig(data=str(image_folder)))
    knows = problem.test(BrighterHalf(), Arithmetic(), lambda: False)
    assert knows is not None and knows.scores["accuracy"] == 1.0
    assert 0 < knows.scores["standard_error"] < 0.2
    blind = problem.test(BrighterHalf(blind=True), Arithmetic(), lambda: False)
    assert blind is not None
    left = (problem.data.test.labels == 0).sum()
    assert blind.scores["accuracy"] == pytest.approx(left / len(problem.data.test))
    assert blind.details["confusion"] == [[left, 0], [len(problem.data.test) - left, 0]]
    assert "hardest class: right, 0.0% of it" in blind.lines[1]
    assert blind.pictures["confusion"].ndim == 3
    assert problem.test(BrighterHalf(), Arithmetic(), lambda: True) is None


def test_pixels_are_normalised_by_the_training_part(image_folder: Path) -> None:
    problem = Classification(ClassifyConfig(data=str(image_folder)))
    pixels = problem.data.train.pixels.astype(np.float64)
    np.testing.assert_allclose(problem.mean, pixels.mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(problem.deviation, pixels.std(axis=(0, 2, 3)))


def test_a_folder_of_images_is_learned(make_trainer: MakeTrainer, image_folder: Path) -> None:
    config = ClassifyConfig(
        data=str(image_folder),
        network="resnet20",
        network_options="blocks=1 widths=4,8,8",
        shift=1,
        training=TrainingConfig(batch_size=16, epochs=8.0, learning_rate=0.01),
    )
    assert config.env == "halves"
    trainer = make_trainer("classify", config)
    trainer.run()
    assert trainer.best_evaluation == 1.0


@pytest.fixture
def larger_images(tmp_path: Path) -> Path:
    """60 images of 16x16 pixels at random, in three classes."""
    random = np.random.default_rng(0)
    for name in ("one", "two", "three"):
        folder = tmp_path / "noise" / name
        folder.mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "noise"


def slow_cross_entropy(logits: Tensor, labels: np.ndarray, smoothing: float) -> float:
    """Mean over examples of -sum_k q_k log p_k, q = (1 - s) [k is the label] + s / K."""
    total = 0.0
    for row, label in zip(logits.detach().double().numpy(), labels, strict=True):
        log_p = row - np.log(sum(np.exp(value) for value in row))
        for k, value in enumerate(log_p):
            wanted = (1 - smoothing) * (k == label) + smoothing / len(row)
            total -= wanted * value
    return total / len(labels)


def test_auxiliary_classifiers_weigh_three_tenths_in_training(larger_images: Path) -> None:
    config = ClassifyConfig(
        data=str(larger_images),
        network="googlenet_aux",
        network_options="dropout=0 auxiliary_dropout=0",
        training=TrainingConfig(label_smoothing=0.1),
    )
    problem = Classification(config)
    torch.manual_seed(0)
    network: Any = problem.build_network().train()
    batch = problem.batch(np.arange(12), generator())
    tensors = {name: torch.as_tensor(array) for name, array in batch.items()}
    loss, metrics = problem.loss(network, tensors)
    pixels = torch.as_tensor(
        (batch["pixels"].astype(np.float64) - problem.mean[:, None, None])
        / problem.deviation[:, None, None]
    ).float()
    with torch.no_grad():
        early, late, maps = network._maps(pixels)
        heads = [network.fc(maps.mean(dim=(2, 3))), network.aux1(early), network.aux2(late)]
    losses = [slow_cross_entropy(logits, batch["labels"], 0.1) for logits in heads]
    assert float(loss.detach()) == pytest.approx(
        losses[0] + 0.3 * losses[1] + 0.3 * losses[2], rel=1e-5
    )
    assert float(metrics["last_classifier_loss"]) == pytest.approx(losses[0], rel=1e-5)
    right = heads[0].argmax(dim=1).numpy() == batch["labels"]
    assert float(metrics["accuracy"]) == pytest.approx(right.mean())
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())


def test_scores_are_those_of_the_last_classifier(larger_images: Path) -> None:
    problem = Classification(ClassifyConfig(data=str(larger_images), network="googlenet_aux"))
    torch.manual_seed(0)
    network: Any = problem.build_network().eval()
    before = problem.test(network, Arithmetic(), lambda: False)
    for head in (network.aux1, network.aux2):
        for parameter in head.parameters():
            parameter.data.fill_(float("nan"))
    after = problem.test(network, Arithmetic(), lambda: False)
    assert before is not None and after is not None
    assert before.scores == after.scores and np.isfinite(after.scores["loss"])


def test_auxiliary_classifiers_are_trained(make_trainer: MakeTrainer, larger_images: Path) -> None:
    training = TrainingConfig(batch_size=16, epochs=1.0)
    config = ClassifyConfig(data=str(larger_images), network="googlenet_aux", training=training)
    trainer = make_trainer("classify", config)
    network: Any = trainer.agent.network  # type: ignore[attr-defined]
    heads = [network.aux1.fc2.weight, network.aux2.fc2.weight, network.fc.weight]
    before = [weight.detach().clone() for weight in heads]
    trainer.run()
    for weight, first in zip(heads, before, strict=True):
        assert (weight != first).any()


def test_networks_that_need_more_pixels_say_so(image_folder: Path) -> None:
    problem = Classification(ClassifyConfig(data=str(image_folder), network="inception_v4"))
    with pytest.raises(UserError, match=r"inception_v4 needs images of .* these are 12x12"):
        problem.build_network()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shift": -1}, "--shift must be at least 0"),
        ({"cutout": -1}, "--cutout must be at least 0"),
        ({"label_noise": 1.5}, "--label-noise must be at least 0 and at most 1"),
    ],
)
def test_options_that_cannot_work_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check(replace(ClassifyConfig(), **changes))
