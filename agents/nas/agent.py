"""Architecture search as the trainer drives it: a step is a design that was scored.

    searcher.ask ──► journal ──► evaluator.start ──► poll ──► journal ──► searcher.tell

A batch of designs is asked for, all of it is scored, and only then does the searcher learn. Were it
told of each child as it comes in, what it asks for next would depend on which child was ready
first; so it depends on the seed alone, and a run can be had again.

Where designs share their weights (ENAS, `agents/nas/sharing.py`), these learn between asking and
scoring, and the best design is not the one with the highest reward: rewards of a minibatch, told
while the weights grew, are no measure. It is the first of a ranking made at each evaluation.

While children are in work the agent advances by no step, so that the trainer goes on to log, save
and stop. What it saves then is the searcher from before it was asked: a resumed run asks again, for
the same designs, and takes from the journal what was scored already.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.nas.drawing import DRAWINGS, picture
from agents.nas.evaluator import Child, Evaluator, Result
from agents.nas.history import History
from agents.nas.journal import Journal, Scored
from agents.nas.report import by_decision, search_picture, shown
from core.agent import Advanced, Assessment, Metrics
from core.errors import UserError
from core.evaluation import Episode
from core.files.atomic import replace_file
from core.report.progress import duration
from envs.architecture.space import Space, Tokens, check
from search.architecture.searcher import Searcher
from tasks.pictures import write_png

if TYPE_CHECKING:
    from agents.nas.sharing import SharedWeights

POLL_SECONDS = 0.5
"""How long a tick waits for a child, and so a user who asked for a stop."""


class ArchitectureSearch:
    """A searcher, an evaluator, and what is known of every design scored."""

    def __init__(
        self,
        space: Space,
        searcher: Searcher,
        evaluator: Evaluator,
        journal: Journal,
        reward: Callable[[Result], float],
        *,
        batch: int,
        rescore: bool = True,
        shared: SharedWeights | None = None,
        rival: Searcher | None = None,
        pictures: Path | None = None,
        title: str = "searcher",
    ) -> None:
        """Args:
        space: of the designs.
        searcher: proposes them and learns.
        evaluator: scores them.
        journal: of this run.
        reward: of a result.
        batch: designs between two lessons of the searcher.
        rescore: whether a design asked for again is scored again; else its first result counts,
            and is counted apart.
        shared: the evaluator, where it trains weights that designs share; None where it does not.
        rival: random search, which is given as many children, to compare with; None for none.
        pictures: folder for those of an evaluation; None for none.
        title: the searcher's name in them.
        """
        self.space = space
        self.searcher = searcher
        self.evaluator = evaluator
        self.journal = journal
        self.reward = reward
        self.batch = batch
        self.rescore = rescore
        self.shared = shared
        self.rival = rival
        self.pictures = pictures
        self.title = title
        self.history = History(reward)
        self.ranked: list[Scored] = []
        """By shared weights at the last evaluation: the searcher's, then random search's."""
        self._images: dict[str, np.ndarray] = {}
        self.sound = True
        self._told = 0
        self._before: dict[str, Any] | None = None
        self._children: list[Child] = []
        self._found: dict[int, Scored] = {}
        self._awaited: dict[int, Child] = {}

    # ---------------------------------------------------------------- a batch of children

    def advance(self, agent_steps: int) -> Advanced:
        """Begin a batch, wait a little for its children, or learn from all of them."""
        if not self._children:
            self._begin()
        if self.shared is not None and self.shared.learn(POLL_SECONDS):
            return Advanced(0)
        if self._awaited:
            found = self.evaluator.poll(POLL_SECONDS)
            self._keep([(self._awaited.pop(number), result) for number, result in found])
        return Advanced(0) if self._awaited else self._learn()

    def _begin(self) -> None:
        """Ask for designs, write them down, and have those scored that are not known yet."""
        self._before = copy.deepcopy(self._learners_state())
        designs = self.searcher.ask(self.batch)
        if self.rival is not None:
            designs += self.rival.ask(self.batch)
        self._children = [
            Child(self._told + i, tokens, self.space.design(tokens))
            for i, tokens in enumerate(designs)
        ]
        self.journal.propose(self._children)
        begun: set[Tokens] = set()
        for child in self._children:
            known = self.journal.find(child)
            if known is not None:
                self._found[child.number] = known
            elif not self._is_repeated(child, begun):
                self._awaited[child.number] = child
            begun.add(self.space.canonical(child.tokens))
        self.evaluator.start(list(self._awaited.values()))

    def _is_repeated(self, child: Child, begun: set[Tokens]) -> bool:
        """Whether an earlier child's result is to count for this one."""
        design = self.space.canonical(child.tokens)
        return not self.rescore and (design in begun or design in self.history.first)

    def _keep(self, results: Sequence[tuple[Child, Result]], *, cached: bool = False) -> None:
        found = [
            Scored(child.number, child.tokens, result, cached,
                   rival=child.number >= self._told + self.batch)
            for child, result in results
        ]  # fmt: skip
        self.journal.add(*found, rewards=[self.reward(scored.result) for scored in found])
        self._found |= {scored.number: scored for scored in found}

    def _learn(self) -> Advanced:
        """Tell the searchers, once all children of the batch are in."""
        for child in self._children:
            if child.number not in self._found:
                design = self.space.canonical(child.tokens)
                self._keep([(child, self.history.first[design])], cached=True)
            self._remember(self._found[child.number])
        designs = [child.tokens for child in self._children]
        rewards = np.array([self.reward(self._found[c.number].result) for c in self._children])
        self.sound = False
        self.searcher.tell(designs[: self.batch], rewards[: self.batch])
        if self.rival is not None:
            self.rival.tell(designs[self.batch :], rewards[self.batch :])
        self.sound = True
        self._told += len(self._children)
        self._children, self._found, self._before = [], {}, None
        return Advanced(self.batch, [Episode(float(r), 1) for r in rewards[: self.batch]])

    def _remember(self, scored: Scored) -> None:
        self.history.add(scored, self.space.canonical(scored.tokens))

    # ---------------------------------------------------------------- what the trainer asks

    def metrics(self) -> Metrics:
        """How the search goes; what the searcher says of itself, where it does."""
        found = self.history.metrics(self.space)
        own: Callable[[], Mapping[str, float]] | None = getattr(self.searcher, "metrics", None)
        if own is not None:
            found.scalars |= {f"{self.title}/{name}": value for name, value in own().items()}
        nats: Callable[[], np.ndarray] | None = getattr(self.searcher, "token_entropies", None)
        if nats is not None:
            found.scalars |= by_decision(self.space, nats())
        if self.shared is not None:
            found.scalars |= self.shared.metrics()
        found.scalars["children/in_work"] = float(len(self._awaited))
        found.images = self._images
        return found

    def evaluate(self, agent_steps: int, seed: int, stop: Callable[[], bool]) -> Assessment | None:
        """What the best design is worth so far; nothing is trained for it. Pictures of the search
        and of the design go to TensorBoard and into the run's folder."""
        if not self.history.own or (self.shared is not None and not self._rank(seed, stop)):
            return None
        best = self._best
        if best is None:
            return None
        design = self.space.design(best.tokens)
        self._images = {"search": search_picture(self.history, self.title, self.shared is None)}
        if design["space"] in DRAWINGS:
            self._images["best"] = picture(design)
        if self.pictures is not None:
            for name, image in self._images.items():
                write_png(self.pictures / f"{name}.png", image)
            self._write("best.json", design)
        reward, metrics = self.reward(best.result), best.result.metrics
        text = f"best of {len(self.history.own)}: {shown(metrics)}"
        scalars = {f"evaluation/{name}": value for name, value in metrics.items()}
        rivals = self.history.rivals if self.shared is None else self.ranked
        theirs = [self.reward(child.result) for child in rivals if child.rival]
        if theirs:
            text += f"; reward {reward:.4g}, random search's {max(theirs):.4g}"
            scalars["evaluation/random_reward"] = max(theirs)
        equal = self.history.at_equal_time() if self.shared is None else None
        if equal is not None:
            own, random = (self.reward(child.result) for child in equal[1:])
            text += f" (in {duration(equal[0])} of scoring each: {own:.4g}, {random:.4g})"
            scalars["evaluation/reward_at_equal_time"] = own
            scalars["evaluation/random_reward_at_equal_time"] = random
        scalars["evaluation/reward"] = reward
        return Assessment([metrics["score"]], reward, scalars, text)

    def _rank(self, seed: int, stop: Callable[[], bool]) -> bool:
        """Draw designs and rank them by the shared weights; False where that was stopped."""
        assert self.shared is not None
        ranked = self.shared.rank(self._told, seed, self.rival is not None, stop)
        if ranked is None:
            return False
        self.ranked = ranked
        if self.pictures is not None:
            keys = ("number", "rival", "score", "parameters", "design")
            rows = [
                (s.number, s.rival, *s.result.metrics.values(), self.space.design(s.tokens))
                for s in ranked
            ]
            self._write("ranking.json", [dict(zip(keys, row, strict=True)) for row in rows])
        return True

    @property
    def _best(self) -> Scored | None:
        if self.shared is None:
            return self.history.best
        return next((scored for scored in self.ranked if not scored.rival), None)

    def _write(self, name: str, value: Any) -> None:
        assert self.pictures is not None
        text = json.dumps(value, indent=1) + "\n"
        replace_file(self.pictures / name, [text.encode()])

    def needs_checkpoint(self) -> bool:
        """Never early: the journal has what came since the last one."""
        return False

    def _learners_state(self) -> dict[str, Any]:
        others = {"rival": self.rival, "shared": self.shared}
        states = {name: one.state_dict() for name, one in others.items() if one is not None}
        return {"searcher": self.searcher.state_dict(), **states}

    def state_dict(self) -> dict[str, Any]:
        """The searcher between two batches, how many children there were, and the best one."""
        best = self._best
        ranked = {"ranked": [asdict(scored) for scored in self.ranked]} if self.shared else {}
        found = {} if best is None else {"tokens": list(best.tokens), "number": best.number}
        return {
            "network": {"best": found} if found else {},
            "problem": {"space": self.space.name},
            "search": {
                "children": self._told,
                **(self._before or self._learners_state()),
                **ranked,
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly from ``state_dict``; the journal tells what was scored before."""
        search = state["search"]
        self.searcher.load_state_dict(search["searcher"])
        if self.rival is not None:
            self.rival.load_state_dict(search["rival"])
        if self.shared is not None:
            self.shared.load_state_dict(search["shared"])
            results = [Result(**scored["result"]) for scored in search["ranked"]]
            self.ranked = [
                Scored(**{**scored, "result": result})
                for scored, result in zip(search["ranked"], results, strict=True)
            ]
        self.history, self._told = History(self.reward), int(search["children"])
        for scored in self.journal.before(self._told):
            if _is_of(self.space, scored.tokens):
                self._remember(scored)

    def start_from(self, network: Mapping[str, Any]) -> None:
        """Raise UserError: a search begins with nothing."""
        raise UserError("a search cannot begin with the weights of another run")

    def close(self) -> None:
        """Give up the children in work."""
        self.evaluator.close()


def _is_of(space: Space, tokens: Sequence[int]) -> bool:
    """Whether a journal's line, which may have been edited, is a design of the space."""
    try:
        check(space, tokens)
    except ValueError:
        return False
    return True
