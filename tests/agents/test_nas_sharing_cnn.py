"""Weights that the designs of the space "cnn" share: they make the networks of the designs, and a
search by them learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.nas.config import PRESETS, NASConfig
from agents.nas.controller import Controller
from agents.nas.controller_config import ControllerConfig
from agents.nas.evaluator import Child
from agents.nas.sharing import SharedWeights
from core.config import resolve
from core.errors import UserError
from envs.architecture.convolutional import Convolutional
from envs.architecture.space import sample
from networks.designed.convolutional import DesignedConvolutional
from networks.designed.shared_convolutional import SharedConvolutional
from tests.agents.test_nas_sharing import search

SIZES: dict[str, Any] = {"heights": (1, 5), "widths": (3, 5), "filters": (2, 5), "strides": (1, 2)}
SPACE = Convolutional(layers=4, **SIZES)


def copied(alone: DesignedConvolutional, skips: bool = True) -> SharedConvolutional:
    """A super-network that has the weights of a design's network in their places, and noise
    elsewhere. Places are found anew here, filter by filter."""
    shared = SharedConvolutional(3, 10, layers=4, filters=5, side=(5, 5), skips=skips)
    with torch.no_grad():
        for number, (plan, layer) in enumerate(zip(alone.plan.layers, alone.layers, strict=True)):
            at, place = 0, shared.places[number]
            for i in plan.inputs:
                for channel in range(alone.plan.layers[i - 1].filters if i else 3):
                    for row in range(plan.height):
                        for column in range(plan.width):
                            into = place.kernels[str(i)][: plan.filters, channel]
                            down, across = row + 2 - plan.height // 2, column + 2 - plan.width // 2
                            into[:, down, across] = layer.conv.weight[:, at, row, column]
                    at += 1
            assert at == plan.channels
            place.scale[: plan.filters] = layer.bn.weight
            place.shift[: plan.filters] = layer.bn.bias
        at = 0
        for i in alone.plan.loose:
            filters = alone.plan.layers[i - 1].filters
            shared.heads[i - 1][:, :filters] = alone.fc.weight[:, at : at + filters]
            at += filters
        shared.bias.copy_(alone.fc.bias)
    return shared


@pytest.mark.parametrize("layers", [4, 3])
@pytest.mark.parametrize("skips", [True, False])
def test_designs_by_copied_weights_are_the_networks_that_stand_alone(
    layers: int, skips: bool
) -> None:
    space = Convolutional(layers=layers, skips=skips, **SIZES)
    random = np.random.default_rng(1)
    images = torch.randn(4, 3, 9, 12, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(1)
    for _ in range(15):
        design = space.design(sample(space, random))
        alone = DesignedConvolutional(design, 3, 10)
        for parameter in alone.parameters():
            torch.nn.init.normal_(parameter)
        network = copied(alone, skips).network(design)
        wanted = alone.train()(images)  # normalises by the batch, as the shared network always does
        for found in (network.train()(images), network.eval()(images)):
            assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max()


def test_only_weights_of_the_design_have_gradients() -> None:
    torch.manual_seed(1)
    shared = SharedConvolutional(3, 10, layers=2, filters=5, side=(5, 5))
    layers = [
        {"height": 1, "width": 3, "filters": 2, "stride": [1, 1], "inputs": []},
        {"height": 5, "width": 1, "filters": 4, "stride": [1, 2], "inputs": [1]},
    ]
    network = shared.network({"space": "cnn", "layers": layers})
    network(torch.randn(4, 3, 9, 12)).square().sum().backward()
    moved = {name: p.grad.nonzero().tolist() for name, p in shared.named_parameters()
             if p.grad is not None}  # fmt: skip
    assert set(moved) == {
        "places.0.kernels.0", "places.0.scale", "places.0.shift",
        "places.1.kernels.1", "places.1.scale", "places.1.shift", "heads.1", "bias",
    }  # fmt: skip
    assert moved["places.0.kernels.0"] == [
        [f, c, 2, column] for f in range(2) for c in range(3) for column in (1, 2, 3)
    ]
    assert moved["places.1.kernels.1"] == [
        [f, c, row, 2] for f in range(4) for c in range(2) for row in range(5)
    ]
    assert moved["heads.1"] == [[k, f] for k in range(10) for f in range(4)]


def config(optimiser: str = "adamw", **options: Any) -> NASConfig:
    """Of a search that takes a moment."""
    children = {
        "data": "digits", "child_network": "", "child_batch_size": 16, "shared_updates": 3,
        "shared_examples": 40, "shared_candidates": 3, "child_optimiser": optimiser,
    }  # fmt: skip
    given = {
        "space": "cnn", "space_options": "layers=3 heights=[1,3] widths=[1,3] filters=[2,4]",
        "batch": 2, "run": {"total_steps": 8, "threads": 1}, "children": children, **options,
    }  # fmt: skip
    return resolve(NASConfig, {**PRESETS["enas-quick"][1], **given})


def test_scores_are_of_designs_with_their_own_parameters(tmp_path: Path) -> None:
    shared = search(tmp_path, config()).shared
    assert shared is not None and isinstance(shared.space, Convolutional)
    tokens = sample(shared.space, np.random.default_rng(1))
    design = shared.space.design(tokens)
    shared._update(tokens)
    found = shared.score(design, shared.validation_batches())
    alone = DesignedConvolutional(design, 1, 10)
    assert found.metrics["parameters"] == sum(p.numel() for p in alone.parameters())
    assert 0 <= found.metrics["score"] <= 1


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_a_search_runs_and_ranks(tmp_path: Path, optimiser: str) -> None:
    agent = search(tmp_path, config(optimiser))
    made = 0
    while made < 4:
        made += agent.advance(made).agent_steps
    assert agent.evaluate(made, 1, lambda: False) is not None
    assert len(agent.ranked) == 6


class FirstHeight(Convolutional):
    """Only the height of the first filters is free: of a pixel, or of three."""

    def legal(self, tokens: Any) -> np.ndarray:
        return super().legal(tokens) if not tokens else np.arange(len(super().legal(tokens))) == 0


def test_a_search_learns_which_of_two_heights_is_better(tmp_path: Path) -> None:
    # The class is whether stripes lie or stand, with as many of them dark: one pixel does not tell.
    agent = search(tmp_path, config())
    trained = agent.shared
    assert trained is not None
    space = FirstHeight(layers=1, heights=(1, 3), widths=(1,), filters=(8,), skips=False)
    problem, random = trained.problem, np.random.default_rng(1)
    parts = {}
    for name in ("train", "validation"):
        part = getattr(problem.data, name)
        labels = random.integers(2, size=len(part))
        lie = np.tile(random.integers(2, size=(len(part), 8, 1)), 8)
        stripes = np.where(labels[:, None, None], lie, lie.swapaxes(1, 2))
        pixels = (255 * stripes[:, None]).astype(np.uint8)
        parts[name] = replace(part, pixels=pixels, labels=labels)
    problem.data, problem.labels = replace(problem.data, **parts), parts["train"].labels
    options = replace(trained.options, shared_updates=5, child_learning_rate=0.03)
    controller = Controller(ControllerConfig(policy="table", learning_rate=0.2), space, 1)
    shared = SharedWeights(
        trained.alone.trainer, space, controller, trained.alone, options, 5 * 25, seed=1
    )
    for batch in range(25):
        designs = controller.ask(6)
        shared.start([Child(6 * batch + i, t, space.design(t)) for i, t in enumerate(designs)])
        while shared.learn(1.0):
            pass
        scores = [result.metrics["score"] for _, result in shared.poll(60)]
        controller.tell(designs, np.array(scores))
    batches = shared.validation_batches()
    pixel, column = (
        shared.score(space.design((height, 0, 0)), batches).metrics["score"] for height in (0, 1)
    )
    assert pixel < 0.7 and column > 0.9
    assert np.mean(controller.draw(200, np.random.default_rng(1)), axis=0)[0] > 0.9


def test_weights_that_would_fill_the_memory_are_refused(tmp_path: Path) -> None:
    options = config(space_options="layers=60 filters=[1024] heights=[15] widths=[15]")
    with pytest.raises(UserError, match=r"the weights of all designs are 4\d\d,\d+,\d+,\d+, more"):
        search(tmp_path, options)
