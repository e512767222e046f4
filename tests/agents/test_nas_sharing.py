"""Weights that all designs share: they make the same networks, only the sampled one moves, and a
search by them learns and can be cut short."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from agents.nas.agent import ArchitectureSearch
from agents.nas.build import build
from agents.nas.children import TrainingEvaluator
from agents.nas.config import PRESETS, NASConfig
from agents.nas.controller import Controller
from agents.nas.controller_config import ControllerConfig
from agents.nas.evaluator import Child
from agents.nas.pools import InThisProcess
from agents.nas.sharing import SharedWeights
from agents.nas.training import ChildTrainer
from core.config import resolve
from core.errors import UserError
from core.files import checkpoint
from core.learner import Arithmetic
from envs.architecture.cells import Chain
from envs.architecture.spaces import make_space
from networks.designed.macro import DesignedMacro
from networks.designed.shared_macro import SharedMacro

SPACE = make_space("macro")
TOKENS = (0, 1, 2, 0, 1, 0, 2, 1)
DESIGN = SPACE.design(TOKENS)


def config(**options: Any) -> NASConfig:
    """Of a search that takes a moment."""
    children = {
        "data": "digits", "child_network": "channels=1", "child_batch_size": 16,
        "shared_updates": 3, "shared_examples": 40, "shared_candidates": 3,
        **options.pop("children", {}),
    }  # fmt: skip
    given = {"batch": 2, "run": {"total_steps": 8, "threads": 1}, "children": children, **options}
    return resolve(NASConfig, {**PRESETS["enas-quick"][1], **given})


def search(folder: Path, options: NASConfig) -> ArchitectureSearch:
    """One in this folder, or what a new process would have."""
    agent = build(options, folder / "replay", lambda line: None).agent
    assert isinstance(agent, ArchitectureSearch)
    return agent


def shared_name(name: str) -> str:
    """Where the weight of a design's network lies among the shared ones."""
    if not name.startswith("blocks."):
        return name
    _, place, rest = name.split(".", 2)
    return f"choices.{place}.{DESIGN['blocks'][int(place)]}.{rest}"


def copied(alone: nn.Module) -> SharedMacro:
    """A super-network that has the design's weights from its network."""
    shared = SharedMacro(1, 10, channels=2)
    ours = shared.state_dict()
    with torch.no_grad():
        for name, parameter in alone.named_parameters():
            ours[shared_name(name)].copy_(parameter)
    return shared


def test_a_design_by_copied_weights_is_the_network_that_stands_alone() -> None:
    torch.manual_seed(1)
    alone = DesignedMacro(DESIGN, 1, 10, channels=2)
    shared = copied(alone)
    network = shared.network(DESIGN)
    images = torch.randn(6, 1, 12, 12)
    wanted = alone.train()(images)  # normalises by the batch, as the shared network always does
    for found in (network.train()(images), network.eval()(images)):
        assert (found - wanted).abs().max() < 1e-6
    assert [n for n, _ in network.named_parameters()] == [n for n, _ in alone.named_parameters()]
    other = shared.network(SPACE.design((1, *TOKENS[1:])))
    assert (other(images) - wanted).abs().max() > 1e-3


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_only_the_weights_of_the_sampled_design_move(tmp_path: Path, optimiser: str) -> None:
    # Decay and momentum would move others, if those had gradients of zero.
    children = {"child_optimiser": optimiser, "child_weight_decay": 0.1}
    agent = search(tmp_path, config(children=children))
    shared = agent.shared
    assert shared is not None
    shared._update((2,) * 8)
    before = copy.deepcopy(shared.network.state_dict())
    shared._update(TOKENS)
    sampled = {shared_name(n) for n, _ in shared.network.network(DESIGN).named_parameters()}
    after = shared.network.state_dict()
    moved = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    matrices = {name for name in sampled if after[name].ndim > 1}
    assert matrices <= moved <= sampled < set(after)
    gradients = {n for n, p in shared.network.named_parameters() if p.grad is not None}
    assert gradients == sampled


def test_scores_are_accuracies_on_validation_images_and_change_nothing(tmp_path: Path) -> None:
    shared = search(tmp_path, config()).shared
    assert shared is not None
    part = shared.problem.data.validation
    batches = shared.validation_batches()
    every = np.concatenate(batches)
    assert sorted(every.tolist()) == list(range(len(part))) != every.tolist()
    before = copy.deepcopy(shared.state_dict())
    found = shared.score(DESIGN, batches)
    network = shared.network.network(DESIGN)
    logits = [network(shared.problem._normalised(torch.as_tensor(part.pixels[b]))) for b in batches]
    right = torch.cat(logits).argmax(1).numpy() == part.labels[every]
    assert found.metrics["score"] == right.mean()
    alone = DesignedMacro(DESIGN, 1, 10, channels=1)
    assert found.metrics["parameters"] == sum(p.numel() for p in alone.parameters())
    shared.start([Child(5, TOKENS, DESIGN), Child(6, TOKENS, DESIGN)])
    results = [result.metrics["score"] for _, result in shared.poll(60)]
    after = shared.state_dict()["learner"]["network"]
    assert all(torch.equal(t, before["learner"]["network"][n]) for n, t in after.items())
    images = [shared._random("shared validation", n).permutation(len(part))[:40] for n in (5, 6)]
    assert results == [shared.score(DESIGN, [rows]).metrics["score"] for rows in images]
    with torch.no_grad():
        shared.network.classifier.bias[0] = torch.nan
    assert shared.score(DESIGN, batches).status == "diverged"


def test_a_search_cut_short_anywhere_equals_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.nas.agent.POLL_SECONDS", 0.0)  # an update, or a score, each tick
    for name in ("picture", "search_picture"):  # they take longer than the search
        monkeypatch.setattr(f"agents.nas.agent.{name}", lambda *_: np.zeros((1, 1, 3), np.uint8))
    states = []
    # Cut while weights learn, while designs are scored, and where the journal is ahead.
    for name, lives in (("whole", [99]), ("cut", [1, 9, 5, 99])):
        folder, saved = tmp_path / name, None
        folder.mkdir()
        for number, ticks in enumerate(lives):
            agent, made = search(folder, config()), 0
            if saved is not None:
                agent.load_state_dict(saved)
                made = saved["search"]["children"] // 2  # as many are of random search
            while made < 6 and ticks:
                made += agent.advance(made).agent_steps
                ticks -= 1
            if number != 2:
                path = checkpoint.save(folder / "saved", made, agent.state_dict(), identity={})
                saved = checkpoint.load(path).state
        assessment = agent.evaluate(made, 1, lambda: False)
        assert assessment is not None
        agent.ranked = [replace(s, result=replace(s.result, seconds=0.0)) for s in agent.ranked]
        states.append(agent.state_dict())
        assert len((folder / "journal.jsonl").read_text().splitlines()) == 24, "none comes twice"
        ranking = json.loads((folder / "ranking.json").read_text())
        assert [row["rival"] for row in ranking] == 3 * [False] + 3 * [True]
        own = [row["score"] for row in ranking[:3]]
        assert own == sorted(own, reverse=True) and own[0] == assessment.best_by
        assert json.loads((folder / "best.json").read_text()) == ranking[0]["design"]
        best = states[-1]["network"]["best"]
        assert SPACE.design(best["tokens"]) == ranking[0]["design"]
    assert_equal(*states)


def assert_equal(first: Any, second: Any) -> None:
    """Two states, bit for bit."""
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for name in first:
            assert_equal(first[name], second[name])
    elif isinstance(first, list | tuple):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_equal(one, other)
    elif isinstance(first, torch.Tensor | np.ndarray):
        assert (first == second).all()
    else:
        assert first == second


class FirstBlock(Chain):
    """Only the first block is free: nothing, or an inverted residual."""

    def legal(self, tokens: Sequence[int]) -> np.ndarray:
        return np.array([True, not tokens, False])


def far_pixel() -> ChildTrainer:
    """A pixel two steps from the corner tells the class. Where all blocks are identities, which
    halve the plane by leaving pixels out, a network sees no further than one step."""
    trainer = ChildTrainer(config().children, False, Arithmetic())
    problem = trainer.problem
    parts = {}
    for name in ("train", "validation"):
        part = getattr(problem.data, name)
        pixels = np.random.default_rng(1).integers(256, size=part.pixels.shape, dtype=np.uint8)
        labels = np.arange(len(part)) % 2
        pixels[:, 0, 2, 2] = 255 * labels
        parts[name] = replace(part, pixels=pixels, labels=labels)
    problem.data, problem.labels = replace(problem.data, **parts), parts["train"].labels
    return trainer


def test_a_search_learns_which_of_two_blocks_is_better() -> None:
    trainer, space = far_pixel(), FirstBlock()
    options = replace(
        trainer.options, shared_updates=5, child_learning_rate=0.03, child_network="channels=2"
    )
    controller = Controller(ControllerConfig(policy="table", learning_rate=0.2), space, 1)
    alone = TrainingEvaluator(InThisProcess(trainer), trainer, options, 1, Path())
    shared = SharedWeights(trainer, space, controller, alone, options, 5 * 25, seed=1)
    for batch in range(25):
        designs = controller.ask(6)
        shared.start([Child(6 * batch + i, t, space.design(t)) for i, t in enumerate(designs)])
        while shared.learn(1.0):
            pass
        scores = [result.metrics["score"] for _, result in shared.poll(60)]
        controller.tell(designs, np.array(scores))
    batches = shared.validation_batches()
    nothing, something = (
        shared.score(space.design((block, *[0] * 7)), batches).metrics["score"] for block in (0, 1)
    )
    assert nothing < 0.65 and something > 0.9
    assert np.mean(controller.draw(200, np.random.default_rng(1)), axis=0)[0] > 0.9
    ranked = shared.rank(0, 1, True, lambda: False)
    assert ranked is not None
    assert ranked[0].tokens[0] == 1 and not ranked[0].rival and ranked[-1].rival


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"space": "nb201"}, "is for --space cnn or macro"),
        ({"searcher": "evolution"}, "controller or random"),
        ({"children": {"at_once": 2}}, "--at-once is of children"),
        ({"children": {"child_batch_size": 1}}, "--child-batch-size 2"),
        ({"latency_target": 0.1}, "--latency-target needs --latency"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError, match=text):
        config(**options).validate()
