"""A search by batches of children that come in late: the same one whatever the order, and whatever
moment it is killed at."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.nas.agent import ArchitectureSearch
from agents.nas.journal import NAME
from agents.nas.reward import Reward
from core.agent import Task
from core.config import RunConfig
from core.files import checkpoint
from core.files.run_folder import RunFolder
from core.learner import Arithmetic
from core.report.progress import Progress
from core.trainer import Trainer
from tests.agents.nas_worlds import Late, TinySpace, make_search, worth


class Killed(BaseException):
    """Stands for the death of the process."""


def results(folder: Path) -> list[dict[str, Any]]:
    """The journal's results by number."""
    lines = [json.loads(line) for line in (folder / NAME).read_bytes().splitlines()]
    return sorted((x for x in lines if "result" in x), key=lambda x: x["result"])


def run(agent: ArchitectureSearch, steps: int, until: Callable[[], bool] = lambda: False) -> int:
    """Advance to so many steps, or until something happened; the steps made."""
    made = 0
    while made < steps and not until():
        made += agent.advance(made).agent_steps
    return made


def test_the_order_in_which_children_come_in_changes_nothing(tmp_path: Path) -> None:
    states = []
    for seed in (1, 2):
        (tmp_path / str(seed)).mkdir()
        agent = make_search(tmp_path / str(seed), Late(seed))
        assert run(agent, 40) == 40
        states.append(agent.state_dict())
    assert states[0] == states[1]
    assert results(tmp_path / "1") == results(tmp_path / "2")
    assert len(results(tmp_path / "1")) == 80, "random search is given as many children"


def test_rewards_reach_the_searcher_in_the_order_of_its_designs(tmp_path: Path) -> None:
    agent = make_search(tmp_path, Late(), rescore=True)
    told: list[tuple[Any, Any]] = []
    tell = agent.searcher.tell
    agent.searcher.tell = lambda d, r: (told.append((d, r)), tell(d, r))[1]  # type: ignore[method-assign]
    run(agent, 8)
    from agents.nas.evaluator import Child

    for number, (designs, rewards) in zip((0, 8), told, strict=True):
        wanted = [Reward(failure=-1.0)(worth(Child(number + i, tokens, {})))
                  for i, tokens in enumerate(designs)]  # fmt: skip
        assert rewards.dtype == np.float64 and rewards.tolist() == wanted


@pytest.mark.parametrize("rescore", [False, True])
def test_a_design_asked_for_again(tmp_path: Path, rescore: bool) -> None:
    evaluator = Late()
    agent = make_search(tmp_path, evaluator, rescore=rescore)
    run(agent, 60)
    every = results(tmp_path)
    computed = [line for line in every if not line["cached"]]
    assert sorted(evaluator.computed) == [line["result"] for line in computed]
    scalars = agent.metrics().scalars
    assert scalars["children/computed"] == len(computed)
    assert scalars["children/cached"] == len(every) - len(computed)
    assert scalars["children/failed"] == sum(line["status"] != "ok" for line in every) > 0
    designs = Counter(TinySpace().canonical(line["tokens"]) for line in computed)
    if rescore:
        assert len(computed) == len(every) and max(designs.values()) > 1
    else:
        assert max(designs.values()) == 1
        first: dict[Any, Any] = {}
        for line in every:
            of_design = first.setdefault(TinySpace().canonical(line["tokens"]), line)
            assert line["metrics"] == of_design["metrics"]


class DiesAfter(Late):
    """The process dies when so many children have come in."""

    def __init__(self, children: int, seed: int) -> None:
        super().__init__(seed)
        self.left = children

    def poll(self, seconds: float) -> list[tuple[int, Any]]:
        if self.left == len(self.computed):
            raise Killed
        return super().poll(seconds)


@pytest.mark.parametrize("rescore", [False, True])
def test_a_search_killed_anywhere_equals_one_that_was_not(tmp_path: Path, rescore: bool) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    agent = make_search(whole, Late(), rescore=rescore)
    run(agent, 24)
    wanted, journal = agent.state_dict(), results(whole)
    for dies in (1, 3, 6, 13):
        folder = tmp_path / str(dies)
        folder.mkdir()
        saved: dict[str, Any] = make_search(folder, Late(), rescore=rescore).state_dict()
        made, computed = 0, []
        for life in range(100):
            evaluator = DiesAfter(dies, life)
            agent = make_search(folder, evaluator, rescore=rescore)
            agent.load_state_dict(json.loads(json.dumps(saved)))
            try:
                while made < 24:
                    made += agent.advance(made).agent_steps
                    saved = agent.state_dict()  # in the middle of a batch, too
            except Killed:
                made = saved["search"]["children"] // 2
            computed += evaluator.computed
            if made == 24:
                break
        assert agent.state_dict() == wanted and results(folder) == journal
        assert len(computed) == len(set(computed)), "a child was computed twice"
        assert agent.history.best == make_search_best(whole, wanted, rescore)


def make_search_best(folder: Path, state: dict[str, Any], rescore: bool) -> Any:
    """The best child of a search that is loaded and not run."""
    agent = make_search(folder, Late(), rescore=rescore)
    agent.load_state_dict(state)
    return agent.history.best


def test_proposals_are_on_the_disk_before_anything_is_computed(tmp_path: Path) -> None:
    class Looks(Late):
        def start(self, children: Any) -> None:
            lines = [json.loads(x) for x in (tmp_path / NAME).read_bytes().splitlines()]
            proposed = {line["proposal"]: line for line in lines if "proposal" in line}
            for child in children:
                assert proposed[child.number]["tokens"] == list(child.tokens)
                assert proposed[child.number]["design"] == child.design
            super().start(children)

    assert run(make_search(tmp_path, Looks()), 8) == 8


def test_the_trainer_saves_in_the_middle_of_a_batch_and_goes_on_exactly(tmp_path: Path) -> None:
    def trainer(name: str, evaluator: Late) -> Trainer:
        exists = (tmp_path / name).exists()
        folder = RunFolder.create(tmp_path, "nas", "tiny", 1, tmp_path / name) if not exists \
            else RunFolder.open(tmp_path / name)  # fmt: skip
        options = RunConfig(total_steps=24, evaluate_every=0, log_seconds=1e-9, progress=False)
        made = Trainer(
            make_search(tmp_path / name, evaluator),
            Task("tiny", "", 1, lambda steps, seed, stop: None, lambda score: None),
            options, folder, identity={}, hyperparameters={}, progress=Progress(enabled=False),
            arithmetic=Arithmetic(),
        )  # fmt: skip
        if exists:
            made.restore(checkpoint.load(folder.checkpoints).state)
        return made

    straight = trainer("straight", Late())
    assert straight.run() == "finished"

    class StopsInTheMiddle(Late):
        stop: Callable[[], None]

        def poll(self, seconds: float) -> list[tuple[int, Any]]:
            if len(self.computed) == 5:
                self.stop()
            return super().poll(seconds)

    evaluator = StopsInTheMiddle()
    first = trainer("stopped", evaluator)
    evaluator.stop = lambda: setattr(first.progress, "stop_requested", True)
    assert first.run() == "stopped" and first.agent_steps == 0
    second = trainer("stopped", Late())
    assert second.run() == "finished"
    ours, theirs = second.state_dict(), straight.state_dict()
    assert (ours["search"], ours["network"]) == (theirs["search"], theirs["network"])
    assert ours["trainer"]["episodes"] == theirs["trainer"]["episodes"]
    assert results(tmp_path / "stopped") == results(tmp_path / "straight")
    logged = straight.folder.read_jsonl("metrics.jsonl")
    assert logged[-1]["reward/best"] == max(x["reward"] for x in results(tmp_path / "straight")
                                            if not x["rival"])  # fmt: skip


def test_a_closed_search_gives_its_children_up(tmp_path: Path) -> None:
    evaluator = Late()
    agent = make_search(tmp_path, evaluator)
    agent.advance(0)
    agent.close()
    assert evaluator.closed
