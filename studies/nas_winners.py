"""Is what a search found better than what random search found, and than networks made by hand?

The best designs of a search and of the random search beside it, in equal time, and networks of the
registry that are made as wide as it takes to have as many parameters as the first: each is trained
from scratch as the search's own test trains its best (`--retrain-epochs` and the children's
options), with several seeds, and scored on the test part, which the search never saw.

    tengen study nas-winners RUN

A cell is a network and a seed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.config import RunConfig, free
from core.errors import UserError
from core.seeds import derived_seed
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
    spent, entrants = found_networks(options.run)
    entrants += made_by_hand(config, _parameters(config, entrants[0]))
    count = 1 if options.quick else options.seeds
    epochs = config.children.child_epochs / (100 if options.quick else 1)
    cells: list[Cell] = [
        {"network": one.network, "options": one.options, "seed": seed, "epochs": epochs}
        for one in entrants
        for seed in range(1, count + 1)
    ]
    found = run_grid(partial(compute, run=options.run), cells, Path(options.out), options.processes)
    rows = []
    for one in entrants:
        each = [found[key(cell)] for cell in cells
                if (cell["network"], cell["options"]) == (one.network, one.options)]  # fmt: skip
        shown = "" if "{" in one.network else f"{one.network} {one.options}".strip()
        scores = [result["score"] for result in each]
        rows.append({"name": one.name, "network": shown, "parameters": each[0]["parameters"],
                     "scores": scores})  # fmt: skip
    return {
        "score": "bits per character" if config.reads else "accuracy, percent",
        "data": config.children.data,
        "epochs": epochs,
        "search_minutes": spent / 60,
        "rows": rows,
    }


def config_of(run: str) -> NASConfig:
    """Options of a run. Raises UserError where it is none of nas with trainings and a rival."""
    from agents.nas.config import NASConfig
    from commands.session import saved_config
    from core.files.run_folder import RunFolder

    if not run:
        raise UserError("this study needs the folder of a run of nas with --evaluator train")
    _, config = saved_config(RunFolder.open(Path(run)))
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
        history.add(scored, scored.tokens)
    equal = history.at_equal_time()
    if equal is None:
        raise UserError(f"{run} has trained too few designs: go on with it first")
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


def _problem(config: NASConfig, entrant: Entrant, seed: int) -> Any:
    """The task that a network is to learn."""
    from agents.nas.training import image_config, language_config
    from tasks.classify.task import Classification
    from tasks.lm.task import LanguageModelling

    network, sizes, run = entrant.network, entrant.options, RunConfig(seed=seed)
    if config.reads:
        language = replace(language_config(config.children), ngram_order=1)
        return LanguageModelling(replace(language, network=network, network_options=sizes, run=run))
    image = image_config(config.children)
    return Classification(replace(image, network=network, network_options=sizes, run=run))


def nearest(parameters: Callable[[int], int], target: int) -> int:
    """The width whose number of parameters, which grows with it, is nearest to the target."""
    low, high = 1, 2
    while parameters(high) < target and high < WIDEST:
        low, high = high, 2 * high
    while high - low > 1:
        width = (low + high) // 2
        low, high = (width, high) if parameters(width) < target else (low, width)
    return min((low, high), key=lambda width: abs(parameters(width) - target))


def compute(cell: Cell, run: str) -> Found:
    """Train a network from scratch, and score it on the test part."""
    from agents.nas.build import retrained
    from core.learner import Arithmetic, DivergedError
    from tasks.building import SupervisedTask

    config = retrained(config_of(run), "cpu", cell["epochs"])
    entrant = Entrant("", cell["network"], cell["options"])
    seed = derived_seed(config.run.seed, "winners", cell["seed"])
    problem = _problem(config, entrant, seed)
    arithmetic = Arithmetic()
    built = SupervisedTask(lambda _: problem).build(problem.config, Path(), _ignore, arithmetic)
    assert built.run is not None
    steps = 0
    try:
        while steps < built.run.total_steps:
            steps += built.agent.advance(steps).agent_steps
    except DivergedError as error:
        raise UserError(f"the training of {cell['network']} diverged: {error}") from error
    network = built.agent.network.eval()  # type: ignore[attr-defined]
    scored = problem.test(network, arithmetic, lambda: False)
    scores = scored.scores
    score = scores["bits_per_character"] if config.reads else 100 * scores["accuracy"]
    return {"score": score, "parameters": built.facts["parameters"]}


def _ignore(line: str) -> None:
    """Data are told of once."""


def page(results: Mapping[str, Any]) -> list[str]:
    """A row for each network."""
    seeds = len(results["rows"][0]["scores"])
    lines = [
        f"Trained from scratch for {results['epochs']:g} epochs of {results['data']}, mean and "
        f"standard deviation of {seeds} seeds. The search and the random search beside it had "
        f"{results['search_minutes']:.0f} minutes of trainings each.",
        "",
        f"| network | parameters | {results['score']} (test part) |",
        "|---|---|---|",
    ]
    for row in results["rows"]:
        scores = row["scores"]
        spread = f" ± {np.std(scores, ddof=1):.3g}" if len(scores) > 1 else ""
        options = f" (`{row['network']}`)" if row["network"] else ""
        lines.append(
            f"| {row['name']}{options} | {row['parameters']:,} | {np.mean(scores):.5g}{spread} |"
        )
    return lines


def draw(results: Mapping[str, Any], path: Path) -> None:
    """A row of dots for each network, one for each seed."""
    from core.report.plots import COLOURS
    from studies.training import new_figure, save_figure

    figure, axes = new_figure(1)
    rows = list(reversed(results["rows"]))
    for height, row in enumerate(rows):
        colour = COLOURS[0 if row["name"].startswith("found") else 1]
        axes[0].plot(row["scores"], [height] * len(row["scores"]), "o", color=colour, alpha=0.7)
    labels = [f"{row['name']}\n{row['parameters']:,} parameters" for row in rows]
    axes[0].set_yticks(range(len(rows)), labels)
    axes[0].set(xlabel=f"{results['score']}, test part")
    axes[0].set_ylim(-0.6, len(rows) - 0.4)
    save_figure(figure, path)
