"""Positions of one game share its outcome: a value network that learns them all remembers games.

Silver et al. 2016 trained on all positions of games and found errors of 0.19 on these and 0.37 on
others; with one position of each of 30 million games 0.226 and 0.234. Here the same network makes
the same number of updates on

    one of each     one position of each game
    all of few      as many positions, all those of so few games
    all of all      all positions of all games

of those from which the reinforced policy alone decides,

and is asked about games held out from all three, one position each.

    tengen study alphago-overfitting --folder runs/alphago
    tengen study alphago-overfitting --folder runs/alphago --quick
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from core.config import free
from core.errors import UserError
from studies.grid import Cell, Found, key, run_grid

TITLE = "AlphaGo's value network remembers games"
LEARNED = ("one of each", "all of few", "all of all")
PUBLISHED = {"one of each": (0.226, 0.234), "all of few": (0.19, 0.37)}
"""Errors on what was learned and on other games in the paper, whose few games were 160,000."""
RECORDS = 16
"""Times that errors are measured on the way."""


@dataclass(frozen=True)
class Options:
    """Errors of value networks that learned one position of each game, or all positions."""

    folder: str = "runs/alphago"
    """Folder of tengen train alphago, for the games in its folder selfplay."""
    data: str = ""
    """Other games that go-value made."""
    games: int = free(50_000, at_least=2)
    """At the most."""
    size: int = free(9, at_least=2, at_most=19)
    """Lines of the board."""
    komi: float = 7.0
    """Of the games."""
    layers: int = free(7, at_least=1, at_most=100)
    """Convolutions of the tower before the last."""
    filters: int = free(64, at_least=1)
    """Of each."""
    epochs: float = free(20.0, over=0)
    """Passes through one position of each game; the others make as many updates."""
    batch_size: int = free(128, at_least=1)
    """Positions of an update."""
    learning_rate: float = free(1e-3, over=0)
    """Adam's at the start; it falls to 0 along a cosine."""
    seeds: int = free(1, at_least=1, at_most=100)
    """Trainings of each."""
    quick: bool = False
    """At most 2,000 games, 4 layers of 32 filters: minutes."""
    processes: int = free(0, at_least=0)
    """Cells at once; 0: one on each core."""
    device: str = "cpu"
    """Where they are trained: cpu or cuda."""
    out: str = "runs/studies/alphago-overfitting"
    """Folder of journal, results.json, figure.png and page.md."""


def run(options: Options) -> dict[str, Any]:
    """All cells, or what is missing of them; errors at the end and on the way."""
    from core.machine.probe import resolve_device

    resolve_device(options.device)
    data = options.data or str(Path(options.folder) / "selfplay")
    shared = cell_of(options)
    source = load({**shared, "learned": LEARNED[0]}, data)
    shared["data"] = source.identity()["games"][:12]
    cells = [{"learned": learned, "seed": seed, **shared}
             for learned in LEARNED for seed in range(1, options.seeds + 1)]  # fmt: skip
    found = run_grid(partial(compute, data=data, device=options.device), cells, Path(options.out),
                     options.processes)  # fmt: skip
    rows = {learned: summary([found[key(cell)] for cell in cells if cell["learned"] == learned])
            for learned in LEARNED}  # fmt: skip
    return {"held_out": len(source.held_out[1]) + len(source.held_out[2]), "learned": rows}


def cell_of(options: Options) -> dict[str, Any]:
    """What all cells share."""
    quick = options.quick
    return {
        "games": min(options.games, 2_000) if quick else options.games,
        "size": options.size, "komi": options.komi,
        "layers": min(options.layers, 4) if quick else options.layers,
        "filters": min(options.filters, 32) if quick else options.filters,
        "epochs": options.epochs, "batch_size": options.batch_size,
        "learning_rate": options.learning_rate,
    }  # fmt: skip


def load(cell: Cell, data: str) -> Any:
    """The outcomes that a cell learns, and those held out. Raises UserError without such games."""
    import numpy as np

    from agents.alphago.value import Outcomes
    from agents.alphago.value_config import GoValueConfig
    from agents.alphago.value_games import chunk_files

    if not chunk_files(Path(data)):
        raise UserError(
            f"there are no games of go-value in {data}: tengen train alphago makes some"
        )
    config = GoValueConfig(
        data=data, games=cell["games"], size=cell["size"], komi=cell["komi"],
        layers=cell["layers"], filters=cell["filters"],
        positions="one" if cell["learned"] == "one of each" else "all",
    )  # fmt: skip
    outcomes = Outcomes(config)
    if cell["learned"] == "all of few":
        # The digest that parts games is random, so the first games are any.
        one = len(Outcomes(GoValueConfig(**{**vars(config), "positions": "one"})).learned)
        games = np.searchsorted(outcomes.positions.starts, outcomes.learned, side="right")
        most = games[min(one, len(games)) - 1]
        outcomes.learned = outcomes.learned[games <= most]
        outcomes.num_examples = len(outcomes.learned)
    if not outcomes.num_examples or not len(outcomes.held_out[1]) or not len(outcomes.held_out[2]):
        raise UserError(f"the games in {data} are too few to hold some of them out")
    return outcomes


# ----------------------------------------------------------------------------- a cell


def compute(cell: Cell, data: str, device: str) -> Found:
    """Train a network; errors on what it learned and on validation games on the way, and those of
    the test games at the end.

    Args:
        cell: as `run` makes it.
        data: where the games are.
        device: of the network.
    """
    import numpy as np
    import torch

    from core.learner import Arithmetic, DivergedError
    from core.machine.probe import resolve_device
    from core.schedule import learning_rate_factor

    outcomes = load(cell, data)
    arithmetic = Arithmetic(resolve_device(device), torch.get_num_threads())
    torch.manual_seed(cell["seed"])
    network = arithmetic.place(outcomes.build_network())
    optimiser = torch.optim.Adam(network.parameters(), cell["learning_rate"], weight_decay=1e-4)
    random = np.random.default_rng(cell["seed"])
    one = load({**cell, "learned": "one of each"}, data).num_examples
    updates = max(1, round(cell["epochs"] * one / cell["batch_size"]))
    recorded = sorted({round(updates * (i + 1) / RECORDS) for i in range(RECORDS)} - {0})
    found: Found = {"updates": recorded, "training": [], "validation": [],
                    "positions": outcomes.num_examples,
                    "games": games_of(outcomes)}  # fmt: skip
    order = np.zeros(0, np.int64)
    for update in range(updates):
        while len(order) < cell["batch_size"]:
            order = np.concatenate([order, random.permutation(outcomes.num_examples)])
        examples, order = order[: cell["batch_size"]], order[cell["batch_size"] :]
        arrays = outcomes.batch(examples, random)
        batch = {name: arithmetic.tensor(array) for name, array in arrays.items()}
        for group in optimiser.param_groups:
            group["lr"] = cell["learning_rate"] * learning_rate_factor("cosine", update / updates)
        network.train()
        loss, _ = outcomes.loss(network, batch)
        if not torch.isfinite(loss):
            raise DivergedError(f"update {update + 1}: the loss is {loss.item()}; lower "
                                "--learning-rate")  # fmt: skip
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if update + 1 in recorded:
            scalars = outcomes.validate(network.eval(), arithmetic, lambda: False).scalars
            found["training"].append(round(float(scalars["training/error"]), 6))
            found["validation"].append(round(float(scalars["validation/error"]), 6))
    scored = outcomes.test(network.eval(), arithmetic, lambda: False)
    counts = len(outcomes.held_out[1]), len(outcomes.held_out[2])
    both = counts[0] * found["validation"][-1] + counts[1] * scored.scores["error"]
    return {**found, "held_out": both / sum(counts)}


def games_of(outcomes: Any) -> int:
    """Number of games that are learned from."""
    import numpy as np

    return len(np.unique(np.searchsorted(outcomes.positions.starts, outcomes.learned, "right")))


# ----------------------------------------------------------------------------- what was found


def summary(found: Sequence[Found]) -> dict[str, Any]:
    """Means over seeds."""
    count = len(found)
    curves = {name: [sum(values) / count for values in zip(*(f[name] for f in found), strict=True)]
              for name in ("training", "validation")}  # fmt: skip
    return {
        "positions": found[0]["positions"], "games": found[0]["games"],
        "updates": found[0]["updates"], "training": curves["training"],
        "validation": curves["validation"],
        "held_out": sum(f["held_out"] for f in found) / count,
        "seeds": [{"training": f["training"][-1], "held_out": f["held_out"]} for f in found],
    }  # fmt: skip


def page(results: Mapping[str, Any]) -> list[str]:
    """What was found, as Markdown."""
    lines = [
        "| learned | positions | games | error on these | on games held out | gap | published |"
    ]
    lines += ["|---" * 7 + "|"]
    for name, row in results["learned"].items():
        train, test = row["training"][-1], row["held_out"]
        known = PUBLISHED.get(name)
        published = f"{known[0]:g} and {known[1]:g}" if known else ""
        counts = f"{row['positions']:,} | {row['games']:,}"
        errors = f"{train:.3f} | {test:.3f} | {test - train:+.3f}"
        lines.append(f"| {name} | {counts} | {errors} | {published} |")
    updates = results["learned"][LEARNED[0]]["updates"][-1]
    return [*lines, "", f"After {updates:,} updates each; one position of each of "
            f"{results['held_out']:,} games is held out."]  # fmt: skip


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Both errors on the way, for each."""
    from core.report.plots import COLOURS
    from studies.training import new_figure, save_figure

    figure, axes = new_figure(len(LEARNED), width=3.6 * len(LEARNED), height=3.4)
    highest = max(max(row["training"] + row["validation"]) for row in results["learned"].values())
    for ax, (name, row) in zip(axes, results["learned"].items(), strict=True):
        ax.plot(row["updates"], row["training"], color=COLOURS[1], label="on what was learned")
        ax.plot(row["updates"], row["validation"], color=COLOURS[0], label="on games held out")
        ax.set(title=f"{name}: {row['positions']:,} of {row['games']:,} games", xlabel="updates",
               ylim=(0, 1.05 * highest))  # fmt: skip
        ax.title.set_fontsize(10)
    axes[0].set_ylabel("mean squared error of the outcome")
    axes[0].legend(frameon=False, fontsize=8)
    save_figure(figure, path)
