"""What all supervised tasks share: exact resume, the number of updates, schedules, weight decay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.config import check
from core.errors import UserError
from core.learner import Arithmetic
from core.trainer import Trainer
from networks.registry import build_network
from tasks.classify.config import ClassifyConfig
from tasks.lm.config import LanguageModelConfig
from tasks.mlm.config import MaskedConfig
from tasks.options import TrainingConfig
from tasks.supervised import build_learner
from tasks.translate.config import TranslateConfig

MakeTrainer = Callable[..., Trainer]

# Everything that draws random numbers: shifts, cutout, noise, dropout, masks.
TRAINING = TrainingConfig(batch_size=12, epochs=2.5, weight_decay=0.01, warmup=0.2)


@pytest.fixture
def configs(image_folder: Path, text_file: Path, pair_files: tuple[Path, Path]) -> dict[str, Any]:
    """A small run of every task."""
    return {
        "classify": ClassifyConfig(
            data=str(image_folder),
            network="resnet20",
            network_options="blocks=1 widths=4,6,8",
            shift=1,
            flip=True,
            cutout=3,
            label_noise=0.2,
            training=replace(TRAINING, optimiser="sgd", nesterov=True, label_smoothing=0.1),
        ),
        "lm": LanguageModelConfig(
            data=str(text_file),
            network="lstm_small",
            network_options="width=12 layers=2 dropout=0.3",
            context_length=16,
            training=replace(TRAINING, epochs=0.5, schedule="linear", max_gradient_norm=0.5),
        ),
        "mlm": MaskedConfig(
            data=str(text_file),
            network_options="width=16 layers=1 heads=2 dropout=0.3",
            tokenizer="bytes",
            context_length=16,
            training=replace(TRAINING, epochs=0.5, optimiser="rmsprop_torch", momentum=0.0),
        ),
        "translate": TranslateConfig(
            data=str(pair_files[0]),
            data_target=str(pair_files[1]),
            network_options="width=16 layers=1 heads=2 feed_forward=16 dropout=0.3",
            vocabulary=300,
            longest=20,
            training=replace(TRAINING, epochs=0.4, optimiser="adam", schedule="inverse_sqrt"),
        ),
    }


@pytest.mark.parametrize("name", ["classify", "lm", "mlm", "translate"])
def test_resume_equals_an_uninterrupted_run_bit_for_bit(
    name: str, make_trainer: MakeTrainer, configs: dict[str, Any]
) -> None:
    config = configs[name]
    whole = make_trainer(name, config, "whole")
    assert whole.run() == "finished"
    cut = make_trainer(name, config, "cut")
    cut._start()
    for _ in range(4):
        cut._advance()
    cut.save()
    for _ in range(2):  # lost with the interruption
        cut._advance()
    resumed = make_trainer(name, config, "cut")
    assert resumed.agent_steps == 48
    resumed.run()
    mine, theirs = resumed.agent.state_dict(), whole.agent.state_dict()
    assert_equal(mine, theirs)
    rows = [
        [{key: value for key, value in row.items() if "seconds" not in key}
         for row in trainer.folder.read_jsonl("evaluations.jsonl")]
        for trainer in (whole, resumed)
    ]  # fmt: skip
    assert rows[0] and rows[0] == rows[1]


def assert_equal(mine: Any, theirs: Any) -> None:
    """Nested states are the same to the last bit."""
    if isinstance(mine, dict):
        assert mine.keys() == theirs.keys()
        for key in mine:
            assert_equal(mine[key], theirs[key])
    elif isinstance(mine, Tensor):
        assert torch.equal(mine, theirs)
    else:
        assert mine == theirs


def test_epochs_make_as_many_updates_as_they_have_batches(
    make_trainer: MakeTrainer, configs: dict[str, Any]
) -> None:
    trainer = make_trainer("classify", configs["classify"])
    examples = trainer.agent.epochs.num_examples
    assert trainer.config.total_steps == round(2.5 * examples)
    assert trainer.config.evaluate_every == examples
    trainer.run()
    assert trainer.agent.learner.updates == -(-trainer.config.total_steps // 12)
    evaluations = trainer.folder.read_jsonl("evaluations.jsonl")
    assert len(evaluations) == 3  # after each epoch, and at the end
    assert trainer.best_evaluation == max(row["validation/accuracy"] for row in evaluations)
    assert trainer.agent.learner.learning_rate == pytest.approx(0.0, abs=1e-9)  # cosine's end
    images = trainer.agent.metrics().images
    assert set(images) == {"training/batch", "validation/confusion"}
    (last,) = trainer.folder.read_jsonl("metrics.jsonl")[-1:]
    assert {"loss/total", "training/accuracy", "training/epoch"} <= set(last)


def test_steps_given_by_the_user_go_before_epochs(
    make_trainer: MakeTrainer, configs: dict[str, Any]
) -> None:
    run = {"total_steps": 60, "evaluate_every": 24}
    trainer = make_trainer("classify", configs["classify"], **run)
    assert (trainer.config.total_steps, trainer.config.evaluate_every) == (60, 24)


def test_other_data_are_noticed(
    make_trainer: MakeTrainer, configs: dict[str, Any], text_file: Path, tmp_path: Path
) -> None:
    changing = tmp_path / "changing.txt"
    changing.write_text(text_file.read_text())
    config = replace(configs["lm"], data=str(changing))
    trainer = make_trainer("lm", config)
    trainer._start()
    changing.write_text(text_file.read_text().replace("cat", "fox"))
    with pytest.raises(UserError, match="made with other data: its data is"):
        make_trainer("lm", config)


def test_matrices_decay_and_vectors_do_not() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    before = [p.detach().clone() for p in network.parameters()]
    training = TrainingConfig(optimiser="sgd", learning_rate=0.5, weight_decay=0.1, momentum=0.0)
    learner = build_learner(network, training, Arithmetic())
    learner.update(lambda: (sum(p.sum() * 0.0 for p in network.parameters()), {}))  # type: ignore[arg-type,return-value]
    for old, new in zip(before, network.parameters(), strict=True):
        factor = 0.95 if old.ndim > 1 else 1.0
        torch.testing.assert_close(new.detach(), factor * old)


def test_biases_of_any_shape_do_not_decay() -> None:
    network = build_network("lenet5_1998")
    training = TrainingConfig(weight_decay=0.1)
    decaying, free = build_learner(network, training, Arithmetic()).optimiser.param_groups
    assert free["weight_decay"] == 0.0 and decaying["weight_decay"] == 0.1
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    assert {names[id(p)] for p in free["params"]} == {n for n in names.values() if "bias" in n}
    assert len(free["params"]) + len(decaying["params"]) == len(names)


def test_a_batch_too_small_for_its_normalisation_is_said(
    make_trainer: MakeTrainer, configs: dict[str, Any]
) -> None:
    config = configs["classify"]
    training = replace(config.training, batch_size=1)
    config = replace(config, network="resnet18", network_options="", training=training)
    trainer = make_trainer("classify", config, total_steps=1)
    with pytest.raises(UserError, match=r"a single value .*: raise --batch-size"):
        trainer.run()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "--batch-size must be at least 1, got 0"),
        ({"epochs": 0.0}, "--epochs must be over 0"),
        ({"momentum": 1.0}, "--momentum must be at least 0 and under 1"),
        ({"warmup": 1.0}, "--warmup must be at least 0 and under 1"),
        ({"schedule": "inverse_sqrt", "warmup": 0.0}, "falls from the end of a warm-up"),
        ({"nesterov": True}, "--nesterov is for --optimiser sgd"),
        ({"optimiser": "rmsprop", "weight_decay": 0.1}, "rmsprop has no --weight-decay"),
        ({"label_smoothing": -0.1}, "--label-smoothing"),
    ],
)
def test_options_that_cannot_work_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check(TrainingConfig(**changes))
