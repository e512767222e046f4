"""Pictures of language networks: parameters and multiply-accumulates of each part.

Legend: T time, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from core.report.plots import COLOURS
from studies.network_figure import new_figure, save, short
from studies.network_trace import Part, Trace

KINDS = {
    "attention": COLOURS[1],
    "feed-forward": COLOURS[0],
    "recurrent": COLOURS[2],
    "embeddings, norms, outputs": COLOURS[4],
}


def kind_of(part: Part) -> str:
    """One of `KINDS`."""
    if "Attention" in part.kind:
        return "attention"
    if part.kind in ("LSTM", "GRU", "GatedUnit"):
        return "recurrent"
    return "feed-forward" if part.path.endswith(".feed_forward") else list(KINDS)[-1]


def rows(found: Trace) -> dict[str, list[Part]]:
    """Parts by their names; layers, which are numbered, are cut into their sublayers."""
    cut: dict[str, list[Part]] = {}
    pending = [name for name, _ in found.network.named_children()]
    while pending:
        path = pending.pop(0)
        module = found.network.get_submodule(path)
        inner = [f"{path}.{name}" for name, _ in module.named_children()]
        holds_embedding = any(isinstance(child, nn.Embedding) for child in module.modules())
        if isinstance(module, nn.ModuleList) or (inner and holds_embedding):
            pending = inner + pending
            continue
        parts = [found.part(p) for p in (inner if path.rpartition(".")[2].isdigit() else [path])]
        if any(part.parameters for part in parts):
            cut[path] = parts
    tied = found.own_operations[""]  # the embedding's matrix once more
    if tied:
        own = sum(p.numel() for p in found.network.parameters(recurse=False))
        cut["output (tied)"] = [Part("", "", (), own, tied)]
    return cut


def draw_texts(
    traces: Mapping[str, Trace], sizes: Mapping[str, tuple[int, ...]], path: Path
) -> None:
    """Bars from tokens above to logits below; parameters on the left, arithmetic on the right."""
    tables = {name: rows(found) for name, found in traces.items()}
    figure, axes = new_figure(9, [0.2 * len(table) + 0.4 for table in tables.values()], 2)
    for (left, right), (name, table) in zip(axes, tables.items(), strict=True):
        total, (length,) = traces[name].part(), sizes[name]
        names = list(table)
        draw_bars(left, names, [[(kind_of(p), p.parameters) for p in parts]
                                for parts in table.values()])  # fmt: skip
        draw_bars(right, [""] * len(names), [[(kind_of(p), p.operations / length) for p in parts]
                                             for parts in table.values()])  # fmt: skip
        left.set_title(f"{name}: {total.parameters:,} parameters", fontsize=10, loc="left")
        per_token = f"{short(total.operations / length)} multiply-adds a token, of {length}"
        right.set_title(per_token, fontsize=10, loc="left")
    seen = {kind_of(p) for table in tables.values() for parts in table.values() for p in parts}
    save(figure, {kind: colour for kind, colour in KINDS.items() if kind in seen}, path)


def draw_bars(
    axis: Any, names: Sequence[str], numbers: Sequence[Sequence[tuple[str, float]]]
) -> None:
    """Each row's numbers end to end, in the colours of their kinds."""
    for row, parts in enumerate(numbers):
        left = 0.0
        for kind, number in parts:
            axis.barh(row, number, 0.75, left, color=KINDS[kind])
            left += number
        axis.text(left, row, f" {short(left)}", fontsize=7, va="center")
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set(ylim=(len(names) - 0.4, -0.6), xticks=[])
    axis.margins(x=0.15)
    axis.spines[["top", "right", "bottom"]].set_visible(False)
