"""The lottery ticket: a small part of a network, begun again from its first weights, is enough.

Frankle & Carbin 2019, arXiv 1803.03635; going back to step k instead of 0: Frankle et al. 2019,
arXiv 1903.01611. A network is trained, the fifth of its weights that are smallest is taken away,
the rest goes back to what it was, and so on. At every size four networks learn:

    ticket    the weights that were left, at their first values (or those of step k)
    random    as many weights of each layer, but any
    redrawn   the same places as the ticket, other first weights
    signs     the same places, other first weights with the signs of the ticket's

    tengen study lottery-ticket
    tengen study lottery-ticket --quick

The fully connected ticket with about a tenth of its weights is written to ticket.safetensors and
run from there, sparse.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.config import free
from studies.grid import Cell, Found, GridOptions, key, run_grid

TITLE = "Lottery tickets"
KINDS = ("ticket", "random", "redrawn", "signs")
GROUPS = {
    "dense-global": "LeNet-300-100, pruned over all layers",
    "dense-layers": "LeNet-300-100, each layer pruned",
    "dense-rewound": "LeNet-300-100, back to step 100",
    "cnn": "a CNN, back to step 0",
    "cnn-rewound": "a CNN, back to step 100",
    "dqn": "DQN on Catch (mean return)",
}
TENTH = 0.1
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""97.5 % quantiles of Student's t with 1, 2, ... degrees of freedom."""


@dataclass(frozen=True)
class Options(GridOptions):
    """Tickets against other networks of their size, with a picture and a page."""

    quick: bool = False
    """One fully connected network, one seed, fewer rounds: two minutes."""
    seeds: int = free(3, at_least=1, at_most=10)
    """Trainings of everything."""
    device: str = "cpu"
    """Where they are trained: cpu or cuda."""
    out: str = "runs/studies/lottery-ticket"
    """Folder of journal, results.json, figure.png, page.md and ticket.safetensors."""


def run(options: Options) -> dict[str, Any]:
    """All cells, or what is missing of them; what they say together."""
    groups = cells_of(options)
    from studies.lottery_ticket_cells import compute, score_file

    found = run_grid(
        compute,
        [cell for cells in groups.values() for cell in cells],
        Path(options.out),
        options.processes,
    )
    curves = {name: joined([found[key(cell)] for cell in cells]) for name, cells in groups.items()}
    first = groups["dense-global"][0]
    path = Path(options.out) / "ticket.safetensors"
    path.write_bytes(base64.b64decode(found[key(first)]["exported"]))
    return {
        "curves": curves,
        "verdicts": {name: verdict(curve) for name, curve in curves.items()},
        "exported": score_file(path, first),
    }


def cells_of(options: Options) -> dict[str, list[Cell]]:
    """The grid: groups of cells by name, a cell for each seed."""
    quick = options.quick
    dense = {"network": "dense", "data": "fashion-mnist", "scope": "global", "rewind": 0,
             "examples": 10_000, "test": 5_000, "batch_size": 60, "learning_rate": 1.2e-3,
             "share": 0.36 if quick else 0.2, "rounds": 7 if quick else 12,
             "updates": 500 if quick else 1_000}  # fmt: skip
    cnn = {**dense, "network": "cnn", "learning_rate": 2e-3, "rounds": 10, "updates": 700}
    dqn = {"network": "dqn", "scope": "global", "rewind": 0, "share": 0.36, "rounds": 6,
           "steps": 10_000}  # fmt: skip
    made: dict[str, dict[str, Any]] = {"dense-global": dense}
    if not quick:
        made |= {"dense-layers": {**dense, "scope": "layers"},
                 "dense-rewound": {**dense, "rewind": 100},
                 "cnn": cnn, "cnn-rewound": {**cnn, "rewind": 100}, "dqn": dqn}  # fmt: skip
    seeds = range(1, 2 if quick else options.seeds + 1)
    return {name: [{**cell, "seed": seed, "device": options.device} for seed in seeds]
            for name, cell in made.items()}  # fmt: skip


def joined(found: Sequence[Found]) -> dict[str, Any]:
    """Shares left and the scores of each kind, [seeds][rounds], the whole network at round 0."""
    return {
        "remaining": found[0]["remaining"],
        "scores": {kind: [each["scores"][kind] for each in found] for kind in KINDS},
    }


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean of seeds and the half width of its 95 % interval (Student); infinite for one seed."""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, math.inf
    deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))
    return mean, STUDENT[len(values) - 2] * deviation / math.sqrt(len(values))


def verdict(curve: Mapping[str, Any]) -> dict[str, Any]:
    """How far the ticket is above each other kind, seed by seed, where a tenth is left; and the
    smallest ticket that is as good as the whole network."""
    at = min(range(1, len(curve["remaining"])),
             key=lambda i: abs(math.log(curve["remaining"][i] / TENTH)))  # fmt: skip
    scores = curve["scores"]
    above = {}
    for kind in KINDS[1:]:
        pairs = zip(scores["ticket"], scores[kind], strict=True)
        mean, half = interval([ticket[at] - other[at] for ticket, other in pairs])
        above[kind] = {"mean": mean, "half_width": None if math.isinf(half) else half}
    whole = _mean(scores["ticket"], 0)
    matching = [share for i, share in enumerate(curve["remaining"])
                if _mean(scores["ticket"], i) >= whole]  # fmt: skip
    return {"remaining": curve["remaining"][at], "above": above, "smallest_matching": min(matching)}


def _mean(curves: Sequence[Sequence[float]], at: int) -> float:
    return sum(curve[at] for curve in curves) / len(curves)


def page(results: Mapping[str, Any]) -> list[str]:
    """What was found, as Markdown."""
    lines = []
    for name, curve in results["curves"].items():
        found = results["verdicts"][name]
        show = "{:.2f}" if name == "dqn" else "{:.1%}"
        lines += [f"### {GROUPS[name]}", "", f"| weights left | {' | '.join(KINDS)} |",
                  "|---" * (len(KINDS) + 1) + "|"]  # fmt: skip
        for i, share in enumerate(curve["remaining"]):
            means = [show.format(_mean(curve["scores"][kind], i)) for kind in KINDS]
            lines.append(f"| {share:.1%} | {' | '.join(means)} |")
        told = "; ".join(f"{kind} {_signed(entry, name)}" for kind, entry in found["above"].items())
        lines += [
            "",
            f"With {found['remaining']:.1%} left the ticket is above: {told}. The smallest ticket "
            f"as good as the whole network has {found['smallest_matching']:.1%}.",
            "",
        ]
    exported = results["exported"]
    lines.append(
        f"ticket.safetensors: {exported['weights']:,} of {exported['of']:,} weights, "
        f"{exported['bytes']:,} bytes, {exported['accuracy']:.1%} right when read back and run "
        f"sparse."
    )
    return lines


def _signed(entry: Mapping[str, Any], name: str) -> str:
    scale, unit = (1, "") if name == "dqn" else (100, " points")
    half = entry["half_width"]
    spread = "" if half is None else f" ± {scale * half:.2g}"
    return f"{scale * entry['mean']:+.2g}{spread}{unit}"


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Scores against the share of the weights left."""
    from core.report.plots import COLOURS
    from studies.training import new_figure, save_figure

    curves = results["curves"]
    figure, axes = new_figure(len(curves), width=max(5.0, 3.6 * len(curves)))
    for ax, (name, curve) in zip(axes, curves.items(), strict=True):
        scale = 1 if name == "dqn" else 100
        shares = [100 * share for share in curve["remaining"]]
        for colour, kind in zip(COLOURS, KINDS, strict=False):
            rows = curve["scores"][kind]
            means = [scale * _mean(rows, i) for i in range(len(shares))]
            low, high = ([scale * end(row[i] for row in rows) for i in range(len(shares))]
                         for end in (min, max))  # fmt: skip
            ax.fill_between(shares, low, high, color=colour, alpha=0.15, linewidth=0)
            ax.plot(shares, means, "o-", markersize=3, color=colour, label=kind)
        ax.set(title=GROUPS[name], xlabel="weights left, percent", xscale="log",
               ylabel="return" if name == "dqn" else "test accuracy, percent")  # fmt: skip
        ax.invert_xaxis()
        ax.legend(frameon=False, fontsize=8)
    save_figure(figure, path)
