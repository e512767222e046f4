"""How much memory a long text takes: hashed attention beside full attention.

Kitaev et al. 2020, Reformer, arXiv 2001.04451, section 2: full attention holds T x T scores, hashed
attention T x 2 chunks. A pass forwards and back of a small Reformer whose attention is all hashed,
or has all in one chunk, each in a process of its own: its peak memory over what a text of two
chunks took.

    tengen study attention-memory

Legend: T tokens.
"""

from __future__ import annotations

import multiprocessing
import resource
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from core.config import free
from core.errors import UserError, is_out_of_memory
from studies.grid import Cell, Found, GridOptions, begin_worker, key, run_grid

TITLE = "Memory by length of a text: hashed and full attention"
CHUNK = 64
"""Tokens that hashed attention looks at together."""
NOTHING: Found = {"megabytes": None, "processor_seconds": None}


@dataclass(frozen=True)
class Options(GridOptions):
    """Peak memory and processor time, by length and kind of attention."""

    longest: int = free(32_768, at_least=1024, at_most=1 << 20)
    """Most T of hashed attention; 1,024, and twice as many again and again up to here."""
    longest_full: int = free(8192, at_least=1024, at_most=1 << 17)
    """Most T of full attention; 8,192 take about 3 GB, and twice as many four times as much."""
    layers: int = free(2, at_least=1, at_most=100)
    """Blocks of attention and feed-forward network."""
    hashes: int = free(1, at_least=1, at_most=16)
    """Rounds of hashed attention."""
    processes: int = free(1, at_least=0)
    """Texts at once; 0: one on each core. They share the machine's memory."""
    out: str = "runs/studies/attention-memory"
    """Folder of journal, results.json, figure.png and page.md."""


def run(options: Options) -> dict[str, Any]:
    """Both kinds of attention at all lengths."""
    longest = {"hashed": options.longest, "full": options.longest_full}
    cells = [
        {"attention": kind, "tokens": tokens, "layers": options.layers, "hashes": options.hashes}
        for kind, most in longest.items()
        for tokens in (1024 << n for n in range(20))
        if tokens <= (min(most, 2048) if options.quick else most)
    ]
    found = run_grid(compute, cells, Path(options.out), options.processes)
    return {"rows": [{**cell, **found[key(cell)]} for cell in cells]}


def compute(cell: Cell) -> Found:
    """What a fresh process takes; nothing where there was no memory for it, whether the process was
    refused it or ended. Raises UserError where it ended otherwise."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(measure, cell, sender), daemon=True)
    process.start()
    sender.close()
    try:
        found: Found = receiver.recv()
    except EOFError:
        process.join()
        if process.exitcode != -signal.SIGKILL:
            raise UserError(
                f"the process of {cell['tokens']:,} tokens ended with code {process.exitcode}; the "
                f"same command goes on"
            ) from None
        found = NOTHING
    process.join()
    return found


def _send(measure: Callable[[Cell], Found], cell: Cell, sender: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the study's, which lets a text finish
    begin_worker()
    try:
        sender.send(measure(cell))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        sender.send(NOTHING)


def measure(cell: Cell) -> Found:
    """A pass in this process, over what one of two chunks took before."""
    read(2 * CHUNK, cell)
    start, began = peak(), time.process_time()
    read(cell["tokens"], cell)
    seconds = time.process_time() - began
    return {"megabytes": round(peak() - start), "processor_seconds": round(seconds, 1)}


def read(tokens: int, cell: Cell) -> None:
    """A pass forwards and back."""
    import torch

    from networks.language.reformer import Reformer, ReformerConfig

    torch.manual_seed(0)
    network = Reformer(
        ReformerConfig(
            vocabulary=64, context_length=tokens, width=64, layers=cell["layers"], heads=2,
            head_width=32, inner=128, attention=("lsh",), hashes=cell["hashes"], dropout=0.0,
            chunk_length=tokens if cell["attention"] == "full" else CHUNK,
        )
    )  # fmt: skip
    logits, _ = network(torch.randint(64, (1, tokens)))
    torch.autograd.backward(logits.square().mean())


def peak() -> float:
    """Of this process so far, megabytes."""
    status = Path("/proc/self/status")
    if status.exists():  # rusage has what its parent held when it began
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # macOS: bytes


def page(results: Mapping[str, Any]) -> list[str]:
    """Megabytes and seconds, a column for each length."""
    from studies.image_study import labels_of, table

    rows = results["rows"]
    lengths = labels_of(rows, "tokens")
    lines = []
    for kind in labels_of(rows, "attention"):
        found = {row["tokens"]: row for row in rows if row["attention"] == kind}
        for name, unit in (("megabytes", "MB"), ("processor_seconds", "s")):
            lines.append([f"{kind}, {unit}", *(_told(found.get(n), name) for n in lengths)])
    return table(["tokens", *(f"{n:,}" for n in lengths)], lines)


def _told(row: Mapping[str, Any] | None, name: str) -> str:
    if row is None:
        return ""
    return "did not fit" if row[name] is None else f"{row[name]:,}"


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Memory against length, both on logarithmic axes."""
    from core.report.plots import COLOURS
    from studies.image_study import labels_of
    from studies.training import new_figure, save_figure

    figure, (ax,) = new_figure(1, width=6.5, height=3.8)
    for colour, kind in zip(COLOURS, labels_of(results["rows"], "attention"), strict=False):
        rows = [row for row in results["rows"] if row["attention"] == kind and row["megabytes"]]
        ax.loglog(*zip(*((row["tokens"], row["megabytes"]) for row in rows), strict=True),
                  "o-", base=2, color=colour, label=kind)  # fmt: skip
    ax.set(title=TITLE, xlabel="tokens", ylabel="MB")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:,.0f}")
    ax.legend(frameon=False)
    ax.grid(alpha=0.25)
    save_figure(figure, path)
