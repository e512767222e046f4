"""Images that are made: how their distance from data is measured, and runs on small ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.linalg import sqrtm

from commands.dispatch import main
from core.errors import UserError
from core.files.checkpoint import load as load_checkpoint
from core.learner import Arithmetic, DivergedError
from core.trainer import Trainer
from networks.base import Growth
from tasks.data.image_sets import digits
from tasks.gan.agent import saved_growth
from tasks.gan.build import build_pair
from tasks.gan.config import GANConfig
from tasks.gan.images import FRAMES, STOPS, Pictures, as_pixels
from tasks.gan.judge import Judge, frechet_distance

PLAIN = ["--threads", "1", "--device", "cpu", "--no-progress", "--samples", "100"]
TINY = "base=16 widest=8 noise=6 style=6 mapping_layers=2"


def test_the_frechet_distance_is_the_formula() -> None:
    random = np.random.default_rng(0)
    one, two = (
        random.normal(size=(200, 5)) @ random.normal(size=(5, 5)),
        random.normal(size=(90, 5)),
    )
    first, second = np.cov(one, rowvar=False), np.cov(two, rowvar=False)
    root = np.trace(sqrtm(first @ second)).real
    expected = ((one.mean(0) - two.mean(0)) ** 2).sum() + np.trace(first + second) - 2 * root
    assert frechet_distance(one, two) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(one, one + 3) == pytest.approx(5 * 9)


def test_the_judge_knows_the_classes_and_prefers_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.gan.judge.EXAMPLES", 6_000)
    data = digits()
    judge = Judge(data)
    before = torch.get_rng_state()
    assert judge.learn(lambda: False) and not Judge(data).learn(lambda: True)
    assert torch.equal(torch.get_rng_state(), before)
    real = judge.features(data.test.pixels, lambda: False)
    train = judge.features(data.train.pixels[:300], lambda: False)
    noise = np.random.default_rng(0).integers(0, 256, data.test.pixels.shape).astype(np.uint8)
    noisy = judge.features(noise, lambda: False)
    assert real is not None and train is not None and noisy is not None
    assert (real[1] == data.test.labels).mean() > 0.75
    assert frechet_distance(noisy[0], real[0]) > 20 * frechet_distance(train[0], real[0])


def test_a_judge_that_was_stopped_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.gan.judge.EXAMPLES", 320)
    whole, stopped = Judge(digits()), Judge(digits())
    asked = iter([False, False, True])
    assert not stopped.learn(lambda: next(asked))
    for judge in (whole, stopped):
        assert judge.learn(lambda: False)
    for one, other in zip(whole.network.parameters(), stopped.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_what_cannot_be_judged_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.gan.judge.EXAMPLES", 64)
    config = GANConfig(data="digits", batch_size=4, samples=2)
    pictures = Pictures(config, lambda side: side)
    broken = Mock(draw=lambda count, stop: np.full((count, 1, 8, 8), np.nan, np.float32))
    with pytest.raises(DivergedError, match="makes NaN"):
        pictures.judge(broken, Arithmetic(), "test", lambda: False)
    data = digits()
    few = replace(data, validation=replace(
        data.validation, pixels=data.validation.pixels[:1], labels=data.validation.labels[:1]
    ))  # fmt: skip
    monkeypatch.setattr("tasks.gan.images.load_images", lambda name: few)
    with pytest.raises(UserError, match="fewer than 2 images in its validation part"):
        Pictures(config, lambda side: side)


def test_images_are_padded_to_what_the_model_makes() -> None:
    pictures = Pictures(GANConfig(data="digits", batch_size=4), lambda side: 2 * side)
    batch = pictures.draw(0, 4)
    assert batch.shape == (4, 1, 16, 16) and pictures.shape == (1, 16, 16)
    assert (batch[:, :, :4] == -1).all() and (batch[:, :, :, 12:] == -1).all()
    inner = as_pixels(batch)[:, :, 4:12, 4:12]
    assert np.array_equal(inner, pictures.data.train.pixels[pictures.epochs.batch(0)])
    assert np.array_equal(pictures._cut(batch), batch[:, :, 4:12, 4:12])
    small = np.arange(8, dtype=np.float32).reshape(2, 1, 2, 2)
    assert pictures._cut(small)[0, 0, :, 0].tolist() == [0] * 4 + [2] * 4


def test_stylegan_grows_resumes_and_is_scored(
    make_trainer: Callable[..., Trainer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("tasks.gan.judge.EXAMPLES", 640)  # a judge of sorts, in a moment
    config = GANConfig(
        data="digits", model="stylegan", network_options=TINY, batch_size=8, r1=1.0,
        averaging=0.5, phase_updates=2, samples=20,
    )  # fmt: skip
    whole = make_trainer("gan", config, "whole", total_steps=6, evaluate_every=0)
    whole.run()
    make_trainer("gan", config, "halves", total_steps=3, evaluate_every=0).run()
    second = make_trainer("gan", config, "halves", total_steps=6, evaluate_every=0)
    second.run()
    one, other = (trainer.agent.state_dict()["network"] for trainer in (whole, second))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    assert other["generator.mean_style"].any() and not any(n.startswith("judge.") for n in other)

    # A checkpoint is scored as far as it has grown.
    assert other["growth"].tolist() == pytest.approx([1, 1])
    assert saved_growth(other, 2) == Growth(1) and saved_growth({}, 2) is None
    for forged in ([2.0, 1.0], [1.0, float("nan")], [1.0]):
        with pytest.raises(UserError, match="growth cannot be read"):
            saved_growth({"growth": torch.tensor(forged)}, 2)

    run = tmp_path / "run"
    argv = ["train", "gan", "--data", "digits", "--model", "stylegan", "--network-options", TINY,
            "--batch-size", "8", "--total-steps", "1", "--evaluate-every", "1"]  # fmt: skip
    assert main([*argv, "--run-dir", str(run), *PLAIN]) == 0
    assert main(["evaluate", str(run)]) == 0
    said = capsys.readouterr()
    assert "Fréchet distance" in said.out and "Fréchet distance" in said.err
    assert len(list(run.glob("scores-step1-mixing-from-8px.png"))) == 1
    with Image.open(run / "scores-step1-film.gif") as film:
        assert 1 < film.n_frames <= FRAMES * STOPS and film.width >= 320  # equal ones are merged
    saved = load_checkpoint(run / "checkpoints").state["network"]
    assert any(name.startswith("judge.") for name in saved)


@pytest.mark.parametrize("model", ["gan", "dcgan", "progressive"])
def test_every_model_is_trained_on_images(model: str, make_trainer: Callable[..., Trainer]) -> None:
    options = {"gan": "hidden=16", "dcgan": "width=4", "progressive": "base=16 widest=8 noise=6"}
    config = GANConfig(
        data="digits", model=model, network_options=options[model], batch_size=8, samples=20
    )
    trainer = make_trainer("gan", config, total_steps=2, evaluate_every=0)
    before = {
        name: tensor.clone() for name, tensor in trainer.agent.state_dict()["network"].items()
    }
    trainer.run()
    after = trainer.agent.state_dict()["network"]
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert len(moved) > 0.7 * len(before)


def test_batch_normalisation_and_gradient_penalties_exclude_each_other() -> None:
    plain = GANConfig(data="digits", model="dcgan", network_options="width=4", batch_size=4)
    target = Pictures(plain, lambda side: 2 * side)
    build_pair(plain, target)
    for penalised in (replace(plain, objective="wgan_gp"), replace(plain, r1=1.0)):
        with pytest.raises(UserError, match="critic_normalisation=none"):
            build_pair(penalised, target)
        for kind in ("none", "layer"):
            options = f"width=4 critic_normalisation={kind}"
            build_pair(replace(penalised, network_options=options), target)
