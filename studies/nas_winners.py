"""Is what a search found better than what random search found, and than networks made by hand?

The best designs of a search and of the random search beside it, in equal time, and networks of the
registry that are made as wide as it takes to have as many parameters as the first: each is trained
from scratch as the search's own test trains its best (`--retrain-epochs` and the children's
options), with several seeds, and scored on the test part, which the search never saw.

    tengen study nas-winners RUN

A cell is a network and a seed.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.config import free
from core.errors import UserError
from core.seeds import derived_seed
from envs.architecture.space import key as name_of
from studies.grid import Cell, Found, key, run_grid

if TYPE_CHECKING:
    from agents.nas.config import NASConfig

TITLE = "What a search found, and networks made by hand"
WIDEST = 4096


@dataclass(frozen=True)
class Options:
    """Test scores of a search's best, of random search's best, and of networks of equal size."""

    run: str = field(default="", metadata={"positional": True})
    """Folder of a run of nas with --evaluator train, and random search beside it."""
    quick: bool = False
    """One seed, a hundredth of the epochs."""
    seeds: int = free(3, at_least=1)
    """Trainings of each network."""
    epochs: float = free(0.0, at_least=0)
    """Of each training; 0: --retrain-epochs of the run, or else --child-epochs."""
    processes: int = free(0, at_least=0)
    """Trainings at once; 0: one on each core."""
    out: str = "runs/studies/nas-winners"
    """Folder of journal, results.json, figure.png and page.md."""


@dataclass(frozen=True)
class Entrant:
    """A network as `--network` and `--network-options` name it."""

    name: str
    network: str
    options: str = ""


Sized = Callable[[int], str]
"""A width to the network's options."""

BY_HAND: dict[str, list[tuple[str, str, Sized]]] = {
    "image": [
        ("ResNet of 8 layers", "resnet20", lambda w: f"blocks=1 widths={w},{2 * w},{4 * w}"),
        ("the same without shortcuts", "plain20", lambda w: f"blocks=1 widths={w},{2 * w},{4 * w}"),
    ],
    "language": [
        ("LSTM", "lstm_small", lambda w: f"cell=lstm width={w}"),
        ("GRU", "lstm_small", lambda w: f"cell=gru width={w}"),
    ],
}
"""Families that are made as wide as it takes."""
AS_IT_IS = {"image": [Entrant("LeNet-5, as it is", "lenet5")], "language": []}


def run(options: Options) -> dict[str, Any]:
    """All trainings, or what is missing of them. Raises UserError for a folder of another kind."""
    from agents.nas.build import retrained

    config = retrained(config_of(options.run), "cpu", options.epochs)
    if options.quick:
        config = retrained(config, "cpu", config.children.child_epochs / 100)
    spent, entrants = found_networks(options.run)
    entrants += made_by_hand(config, _parameters(config, entrants[0]))
    count = 1 if options.quick else options.seeds
    cells = {one: [_cell(config, one, seed) for seed in range(1, count + 1)] for one in entrants}
    found = run_grid(
        partial(compute, config=config),
        list({key(cell): cell for each in cells.values() for cell in each}.values()),
        Path(options.out),
        options.processes,
    )
    rows = []
    for one, own in cells.items():
        results = [found[key(cell)] for cell in own]
        rows.append({
            "name": one.name, "network": one.network, "options": one.options,
            "parameters": results[0]["parameters"],
            "scores": [result["score"] for result in results],
        })  # fmt: skip
    return {
        "score": "bits per character" if config.reads else "accuracy, percent",
        "data": config.children.data,
        "epochs": config.children.child_epochs,
        "search_minutes": spent / 60,
        "rows": rows,
    }


def _cell(config: NASConfig, entrant: Entrant, number: int) -> Cell:
    """A training, with all that decides what comes of it."""
    seed = derived_seed(config.run.seed, "winners", number)
    decides = {**asdict(_task_config(config, entrant, seed)), "precision": config.run.precision}
    network = {"network": entrant.network, "options": entrant.options}
    return {**network, "seed": seed, "training": name_of(decides)}


def config_of(run: str) -> NASConfig:
    """Options of a run. Raises UserError where it is none of nas with trainings and a rival."""
    from agents.nas.config import NASConfig
    from commands.saved import open_run, saved_config

    if not run:
        raise UserError("this study needs the folder of a run of nas with --evaluator train")
    _, config = saved_config(open_run(run))
    if not isinstance(config, NASConfig) or config.evaluator != "train" or not config.compare:
        raise UserError(f"{run} is no run of nas with --evaluator train and --compare")
    return config


def found_networks(run: str) -> tuple[float, list[Entrant]]:
    """Seconds that each side's children took, and the best designs by then: the searcher's and
    random search's. Raises UserError where the run is too young."""
    from agents.nas.build import reward_of, space_of
    from agents.nas.history import History
    from agents.nas.journal import NAME, Journal

    config = config_of(run)
    space, history = space_of(config), History(reward_of(config))
    for scored in Journal(Path(run) / NAME, print).before():
        history.add(scored, space.canonical(scored.tokens))
    equal = history.at_equal_time()
    if equal is None:
        raise UserError(
            f"{run} has no designs to compare: within equal time the search and random search need "
            f"one each that was trained"
        )
    name = "designed_rnn" if config.reads else "designed"
    designs = [json.dumps(space.design(child.tokens), sort_keys=True) for child in equal[1:]]
    titles = (f"found by {config.searcher}", "found by random search")
    return equal[0], [
        Entrant(title, f"{name}:{design}", config.children.child_network)
        for title, design in zip(titles, designs, strict=True)
    ]


def made_by_hand(config: NASConfig, target: int) -> list[Entrant]:
    """Networks of the registry for the run's data, as near to so many parameters as they come; and
    others that have one size."""
    sizes = config.children.child_network.split() if config.reads else []
    common = "".join(f" {part}" for part in sizes if not part.startswith("width="))

    def entrant(name: str, network: str, sized: Sized) -> Entrant:
        def parameters(width: int) -> int:
            return _parameters(config, Entrant(name, network, sized(width) + common))

        return Entrant(name, network, sized(nearest(parameters, target)) + common)

    kind = "language" if config.reads else "image"
    return [*(entrant(*family) for family in BY_HAND[kind]), *AS_IT_IS[kind]]


def _parameters(config: NASConfig, entrant: Entrant) -> int:
    """Of a network for the run's data."""
    import torch

    from tasks.building import parameter_count

    with torch.device("meta"):  # sizes without numbers
        return parameter_count(_problem(config, entrant, 0).build_network())


def _task_config(config: NASConfig, entrant: Entrant, seed: int) -> Any:
    """Options by which a network is trained, as those of the task."""
    from agents.nas.training import image_config, language_config

    named = {"network": entrant.network, "network_options": entrant.options}
    if config.reads:  # n-grams are not asked for
        task: Any = replace(language_config(config.children), ngram_order=1)
    else:
        task = image_config(config.children)
    return replace(task, **named, run=replace(task.run, seed=seed))


def _problem(config: NASConfig, entrant: Entrant, seed: int) -> Any:
    """The task that a network is to learn; its data are read once."""
    problem = copy.copy(_any_problem(config))
    problem.config = _task_config(config, entrant, seed)
    return problem


@cache
def _any_problem(config: NASConfig) -> Any:
    from tasks.classify.task import Classification
    from tasks.lm.task import LanguageModelling

    task = _task_config(config, AS_IT_IS["image"][0], 0)
    return LanguageModelling(task) if config.reads else Classification(task)


def nearest(parameters: Callable[[int], int], target: int) -> int:
    """The width whose number of parameters, which grows with it, is nearest to the target."""
    low, high = 1, 2
    while parameters(high) < target and high < WIDEST:
        low, high = high, 2 * high
    while high - low > 1:
        width = (low + high) // 2
        low, high = (width, high) if parameters(width) < target else (low, width)
    return min((low, high), key=lambda width: abs(parameters(width) - target))


def compute(cell: Cell, config: NASConfig) -> Found:
    """Train a network from scratch, and score it on the test part; no score if that diverged.

    Args:
        cell: of ``_cell``.
        config: of the run, with the epochs of this training.
    """
    from agents.nas.build import arithmetic_of
    from core.learner import DivergedError
    from tasks.building import SupervisedTask

    entrant = Entrant("", cell["network"], cell["options"])
    problem = _problem(config, entrant, cell["seed"])
    arithmetic = replace(arithmetic_of(config), threads=1)
    built = SupervisedTask(lambda _: problem).build(problem.config, Path(), _ignore, arithmetic)
    assert built.run is not None
    found: Found = {"parameters": built.facts["parameters"], "score": None}
    steps = 0
    try:
        while steps < built.run.total_steps:
            steps += built.agent.advance(steps).agent_steps
    except DivergedError:
        return found
    network = built.agent.network.eval()  # type: ignore[attr-defined]
    scored = problem.test(network, arithmetic, lambda: False)
    assert scored is not None
    scores = scored.scores
    found["score"] = scores["bits_per_character"] if config.reads else 100 * scores["accuracy"]
    return found


def _ignore(line: str) -> None:
    """Data are told of once."""


def page(results: Mapping[str, Any]) -> list[str]:
    """A row for each network, and the designs."""
    seeds = len(results["rows"][0]["scores"])
    better = "lower" if results["score"].startswith("bits") else "higher"
    lines = [
        f"Trained from scratch for {results['epochs']:g} epochs of {results['data']}, mean and "
        f"standard deviation of {seeds} seeds; {better} is better. The search and the random "
        f"search beside it had {results['search_minutes']:.1f} minutes of trainings each.",
        "",
        f"| network | parameters | {results['score']} (test part) |",
        "|---|---|---|",
    ]
    found = []
    for row in results["rows"]:
        network, _, design = row["network"].partition(":")
        given = f"{network} {row['options']}".rstrip()
        name = row["name"] if design else f"{row['name']} (`{given}`)"
        lines.append(f"| {name} | {row['parameters']:,} | {_shown(row['scores'])} |")
        if design:
            found += ["", f"{row['name'].capitalize()}: `{design}`"]
    return lines + found


def _shown(scores: Sequence[float | None]) -> str:
    ended = [score for score in scores if score is not None]
    lost = f"{len(scores) - len(ended)} diverged" if len(ended) < len(scores) else ""
    if not ended:
        return lost
    spread = f" ± {np.std(ended, ddof=1):.2g}" if len(ended) > 1 else ""
    return f"{np.mean(ended):.4g}{spread}" + (f"; {lost}" if lost else "")


def draw(results: Mapping[str, Any], path: Path) -> None:
    """A row of dots for each network, one for each seed that did not diverge."""
    from core.report.plots import COLOURS
    from studies.training import new_figure, save_figure

    figure, axes = new_figure(1)
    rows = list(reversed(results["rows"]))
    for height, row in enumerate(rows):
        scores = [score for score in row["scores"] if score is not None]
        colour = COLOURS[0 if row["name"].startswith("found") else 1]
        axes[0].plot(scores, [height] * len(scores), "o", color=colour, alpha=0.7)
    labels = [f"{row['name']}\n{row['parameters']:,} parameters" for row in rows]
    axes[0].set_yticks(range(len(rows)), labels)
    axes[0].set(xlabel=f"{results['score']}, test part")
    axes[0].set_ylim(-0.6, len(rows) - 0.4)
    save_figure(figure, path)
