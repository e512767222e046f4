"""Do shared weights rank designs as trainings of their own do? Of a run with --evaluator shared.

Designs are drawn uniformly and scored on the same validation images twice: with the run's shared
weights, and trained from scratch. Two rank correlations tell how alike the orders are. Beside them
stand those of the number of parameters, which costs nothing, and of a second training with another
seed, which shows what the noise of a training allows.

    tengen study nas-sharing RUN
    tengen study nas-sharing RUN --trained OTHER    the designs that a search trained, once each

A cell is a design.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.config import free
from core.errors import UserError
from core.seeds import derived_seed
from studies.grid import Cell, Found, key, run_grid

if TYPE_CHECKING:
    from agents.nas.sharing import SharedWeights
    from envs.architecture.space import Space, Tokens

TITLE = "Shared weights and trainings from scratch"


@dataclass(frozen=True)
class Options:
    """Rank correlation of scores by shared weights with scores of trainings from scratch."""

    run: str = field(default="", metadata={"positional": True})
    """Folder of a run with --evaluator shared."""
    trained: str = ""
    """Folder of a run with --evaluator train on the same space: its designs and scores count, and
    nothing is trained."""
    quick: bool = False
    """4 designs, a tenth of the epochs."""
    designs: int = free(12, at_least=2)
    """Different networks, drawn uniformly."""
    epochs: float = free(3.0, over=0)
    """Of each training from scratch."""
    seed: int = free(1, at_least=0)
    """Of the designs and the trainings."""
    processes: int = free(0, at_least=0)
    """Designs at once; 0: one on each core."""
    out: str = "runs/studies/nas-sharing"
    """Folder of journal, results.json, figure.png and page.md."""


def run(options: Options) -> dict[str, Any]:
    """All designs, or what is missing of them. Raises UserError for a folder of another kind."""
    from core.files.tensor_file import digest

    shared = load(options.run)
    settings = {"weights": digest(shared.network.state_dict())}
    if options.trained:
        epochs, children = trained(options.trained, shared)
        children = children[:4] if options.quick else children
        cells = [{**child, **settings} for child in children]
    else:
        epochs = options.epochs / (10 if options.quick else 1)
        designs = different(shared.space, 4 if options.quick else options.designs, options.seed)
        cells = [
            {"number": number, "tokens": tokens, **settings, "epochs": epochs, "seed": options.seed}
            for number, tokens in enumerate(designs)
        ]
    found = run_grid(partial(compute, run=options.run), cells, Path(options.out), options.processes)
    rows = [{"tokens": cell["tokens"], **found[key(cell)]} for cell in cells]
    return {"epochs": epochs, "rows": rows, "correlations": correlations(rows)}


def compute(cell: Cell, run: str) -> Found:
    """Score a design with the shared weights, and train it from scratch twice, unless the cell says
    what it was worth. Raises UserError where the run has trained on meanwhile."""
    from core.files.tensor_file import digest

    shared = load(run)
    if digest(shared.network.state_dict()) != cell["weights"]:
        raise UserError(f"{run} has other weights than when the study began: let it finish first")
    design = shared.space.design(cell["tokens"])
    metrics = shared.score(design, shared.validation_batches()).metrics
    alone = [cell["score"]] if "score" in cell else _trained_twice(cell, shared, design)
    return {"shared": metrics["score"], "parameters": metrics["parameters"], "alone": alone}


def _trained_twice(cell: Cell, shared: SharedWeights, design: Mapping[str, Any]) -> list[float]:
    from agents.nas.child import Job, results
    from agents.nas.training import ChildTrainer

    options = replace(shared.options, child_epochs=cell["epochs"])
    trainer = ChildTrainer(options, False, shared.learner.arithmetic)
    alone = []
    for again in range(2):
        seed = derived_seed(cell["seed"], "alone", cell["number"], again)
        *_, result = results(trainer, Job(cell["number"], design, seed))
        assert result is not None
        alone.append(result.metrics["score"])
    return alone


def trained(run: str, shared: SharedWeights) -> tuple[float, list[Cell]]:
    """Epochs of a search's children, and those that came to their end, a design once: the
    searcher's and random search's.

    Raises:
        UserError: it is no search with trainings, or its designs or data are not those of the
            shared weights.
    """
    from agents.nas.build import space_of
    from agents.nas.journal import NAME, Journal
    from commands.saved import open_run, saved_config

    folder = open_run(run)
    entry, config = saved_config(folder)
    if entry.name != "nas" or config.evaluator != "train":
        raise UserError(f"{run} is no run of nas with --evaluator train")
    if config.children.data != shared.options.data:
        raise UserError(f"{run} learns {config.children.data}, not {shared.options.data}")
    space, theirs, epochs = shared.space, space_of(config), config.children.child_epochs
    if (space.name, space.stages) != (theirs.name, theirs.stages):
        raise UserError(f"{run} has other --space or --space-options than the shared weights")
    cells: dict[Tokens, Cell] = {}
    for scored in Journal(folder.path / NAME, print).before():
        design, metrics = space.canonical(scored.tokens), scored.result.metrics
        # With rungs most are cut before their end.
        if metrics.get("epochs") == epochs and design not in cells:
            cells[design] = {"tokens": scored.tokens, "score": metrics["score"]}
    if len(cells) < 2:
        raise UserError(f"{run} has trained fewer than two designs")
    return epochs, list(cells.values())


@cache
def load(run: str) -> SharedWeights:
    """The shared weights of a run's newest checkpoint; once for each process.

    Raises:
        UserError: it is no run with --evaluator shared, or its data are not here.
    """
    from agents.nas.agent import ArchitectureSearch
    from agents.nas.build import build
    from commands.saved import open_run, saved_config
    from core.files import checkpoint
    from core.learner import Arithmetic

    if not run:
        raise UserError("this study needs the folder of a run with --evaluator shared")
    folder = open_run(run)
    entry, config = saved_config(folder)
    if entry.name != "nas" or config.evaluator != "shared":
        raise UserError(f"{run} is no run of nas with --evaluator shared")
    saved = checkpoint.load(folder.checkpoints).state
    arithmetic = Arithmetic.from_state(saved["arithmetic"])
    agent = build(config, folder.path / "replay", print, arithmetic).agent
    assert isinstance(agent, ArchitectureSearch) and agent.shared is not None
    agent.load_state_dict(saved)
    return agent.shared


def different(space: Space, count: int, seed: int) -> Iterator[Tokens]:
    """So many uniform designs that all mean other networks."""
    from envs.architecture.space import sample

    random = np.random.default_rng(seed)
    seen: set[Tokens] = set()
    while len(seen) < count:
        tokens = sample(space, random)
        if space.canonical(tokens) not in seen:
            seen.add(space.canonical(tokens))
            yield tokens


def correlations(rows: Sequence[Found]) -> dict[str, dict[str, float]]:
    """Spearman's rho and Kendall's tau-b with the mean of one or two trainings from scratch: of
    shared weights and of parameters; and of the trainings with each other."""
    from scipy.stats import kendalltau, spearmanr

    alone = np.array([row["alone"] for row in rows])
    pairs = {
        "shared weights": ([row["shared"] for row in rows], alone.mean(axis=1)),
        "number of parameters": ([row["parameters"] for row in rows], alone.mean(axis=1)),
    }
    if alone.shape[1] == 2:
        pairs["one training with another"] = alone[:, 0].tolist(), alone[:, 1]
    return {
        name: {"spearman": float(spearmanr(*pair).statistic),
               "kendall": float(kendalltau(*pair).statistic)}
        for name, pair in pairs.items()
    }  # fmt: skip


def page(results: Mapping[str, Any]) -> list[str]:
    """The correlations."""
    times = {1: "once", 2: "twice"}[len(results["rows"][0]["alone"])]
    lines = [f"{len(results['rows'])} designs, trained from scratch for {results['epochs']:g} "
             f"epochs, {times}.", "", "| with trainings from scratch | Spearman | Kendall |",
             "|---|---|---|"]  # fmt: skip
    return lines + [
        f"| {name} | {found['spearman']:+.2f} | {found['kendall']:+.2f} |"
        for name, found in results["correlations"].items()
    ]


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Trainings from scratch against shared scores, and against parameters."""
    from core.report.plots import COLOURS
    from studies.training import new_figure, save_figure

    figure, axes = new_figure(2)
    labels = {"shared": "accuracy with shared weights", "parameters": "parameters"}
    for ax, (column, label) in zip(axes, labels.items(), strict=True):
        for row in results["rows"]:
            across = [row[column]] * len(row["alone"])
            ax.plot(across, row["alone"], ".-", color=COLOURS[0], linewidth=0.9)
        ax.set(xlabel=label, ylabel="accuracy, trained from scratch")
    save_figure(figure, path)
