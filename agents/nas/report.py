"""Pictures of a search: how the best grew, and accuracy against size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.nas.history import History, is_sized, number
from agents.nas.journal import Scored
from core.report.plots import COLOURS
from envs.architecture.space import Space, stages_of
from tasks.pictures import figure_pixels


def search_picture(history: History, searcher: str, timed: bool = True) -> np.ndarray:
    """Curves of the best so far, random search beside them, by designs and by the time that these
    took; and scores against parameters, with the designs that no other beats.

    Args:
        history: with one child at least.
        searcher: its name.
        timed: whether the time that children took says what a search costs.

    Returns:
        uint8 [H, W, 3].
    """
    panels = [_curves]
    if timed and history.at_equal_time() is not None:
        panels.append(_against_time)
    if any(is_sized(child) for child in history.own + history.rivals):
        panels.append(_against_size)

    def draw(figure: Any) -> None:
        all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, panel in zip(all_axes, panels, strict=True):
            panel(axes, history, searcher)

    return figure_pixels(draw, 0.5 + 4.75 * len(panels), 4.0)


def shown(metrics: Mapping[str, float]) -> str:
    """Metrics in a line."""
    return ", ".join(f"{name} {number(value)}" for name, value in metrics.items())


def by_decision(space: Space, nats: np.ndarray) -> dict[str, float]:
    """Entropy of each kind of decision, on average over its tokens.

    Args:
        space: of the designs.
        nats: of each token, [T].
    """
    of_kind: dict[str, list[float]] = {}
    for at, stage in stages_of(space, len(nats)):
        name = f"entropy/{stage.name.replace(' ', '_')}"
        of_kind.setdefault(name, []).extend(nats[at : at + stage.num_tokens].tolist())
    return {name: float(np.mean(values)) for name, values in of_kind.items()}


def _sides(history: History, searcher: str) -> list[tuple[list[Scored], str, str]]:
    """Children, a name and a colour: the searcher's, and random search's where there are any."""
    sides = [(history.own, searcher, COLOURS[0]), (history.rivals, "random", COLOURS[1])]
    return [side for side in sides if side[0]]


def _curves(axes: Any, history: History, searcher: str) -> None:
    for children, name, colour in _sides(history, searcher):
        numbers = np.arange(1, len(children) + 1)
        rewards = [history.reward(child.result) for child in children]
        axes.plot(numbers, rewards, ".", color=colour, alpha=0.35, markersize=4)
        axes.plot(numbers, history.best_so_far(children), color=colour, label=f"{name}: best")
    axes.set(xlabel="designs scored", ylabel="reward")
    _frame(axes, "lower right")


def _against_time(axes: Any, history: History, searcher: str) -> None:
    for children, name, colour in _sides(history, searcher):
        minutes, best = history.spent(children) / 60, history.best_so_far(children)
        axes.step(minutes, best, where="post", color=colour, label=f"{name}: best")
    axes.set(xlabel="minutes that scoring took", ylabel="reward")
    _frame(axes, "lower right")


def _against_size(axes: Any, history: History, searcher: str) -> None:
    for children, name, colour in _sides(history, searcher):
        shown = [child.result.metrics for child in children if is_sized(child)]
        if shown:
            points = [(m["parameters"], m["score"]) for m in shown]
            axes.plot(
                *zip(*points, strict=True), ".", color=colour, alpha=0.5, markersize=5, label=name
            )
    front = sorted(
        (c.result.metrics["parameters"], c.result.metrics["score"]) for c in history.front()
    )
    if front:
        sizes, scores = zip(*front, strict=True)
        axes.step(sizes, scores, where="post", color=COLOURS[2], label="not beaten by another")
    axes.set(xlabel="parameters", ylabel="score", xscale="log")
    _frame(axes, "upper left")


def _frame(axes: Any, corner: str) -> None:
    axes.legend(loc=corner, fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
