"""Does a longer memory foresee more, and what does a token cost with it?

Dai et al. 2019, Transformer-XL, arXiv 1901.02860: the loss falls with the length of what attention
reaches (section 4.2, table 6), and a text is read on from a memory many times as fast as by a
Transformer that reads its whole window anew for each token (section 4.5, table 9).

    tengen study longer-memory

A trained network reads the test part in several streams, in short segments, with memories of many
lengths; the same tokens are scored each time. Then the same network writes: each token from a
memory, or from a window of as many tokens that is read anew.

Legend: B streams, T tokens of a segment, M tokens of a memory, V vocabulary.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.config import free
from core.errors import UserError
from studies.taught import learn, load_network

if TYPE_CHECKING:
    from networks.language.transformer_xl import TransformerXL

TITLE = "A longer memory foresees more, and saves reading anew"
STREAMS = 16
FILLING = 128
"""Tokens that a memory is filled with at once."""
LEARNING = ["--preset", "austen-xl"]


@dataclass(frozen=True)
class Options:
    """Loss of a Transformer-XL by length of its memory, and its time beside reading anew."""

    quick: bool = False
    """A hundredth of the epochs, a tenth of the test part: shows that all works, no more."""
    epochs: float = free(2.0, over=0, at_most=1000)
    """Times that the text is read, about fifteen minutes of a core each."""
    segment: int = free(16, at_least=1, at_most=1024)
    """T, tokens read at once: without a memory a token sees half as many on average."""
    longest: int = free(512, at_least=16, at_most=4096)
    """Most M; 0, and 16, 32, ... up to here."""
    longest_written: int = free(2048, at_least=128, at_most=8192)
    """Most tokens of memory, and of a window, that are written with; 128, 256, ... up to here."""
    threads: int = free(1, at_least=0)
    """Of the processor, for the training."""
    out: str = "runs/studies/longer-memory"
    """Folder of the run that learns, results.json, figure.png and page.md."""


def run(options: Options) -> dict[str, Any]:
    """Train, score with memories of all lengths, and write. Raises UserError where a run is there
    that read another number of epochs, or was stopped."""
    import torch

    from networks.language.transformer_xl import TransformerXL

    folder = Path(options.out) / ("quick" if options.quick else "run")
    epochs = options.epochs / (100 if options.quick else 1)
    learn(folder, [*LEARNING, "--epochs", str(epochs)], options.threads)
    torch.set_num_threads(1)
    problem, network = load_network(folder)
    assert isinstance(network, TransformerXL)
    tokens = problem.data.test[: len(problem.data.test) // (10 if options.quick else 1)]
    lengths = [0, *doubled(16, options.longest)]
    lengths_written = doubled(128, options.longest_written)
    skipped = -(-options.longest // options.segment) * options.segment
    if len(tokens) // STREAMS <= skipped + options.segment:
        raise UserError(f"--longest {options.longest} leaves nothing of the test part to score")
    network_memory = network.config.memory_length
    bits = [
        surprise(network, tokens, options.segment, length, skipped) / math.log(2)
        for length in lengths
    ]
    written = [seconds_per_token(network, tokens, length) for length in lengths_written]
    return {
        "trained_with": network_memory,
        "memory": [
            {"length": length, "bits": round(value, 4)}
            for length, value in zip(lengths, bits, strict=True)
        ],
        "writing": [
            {"length": length, "memory_ms": round(1e3 * kept, 2), "anew_ms": round(1e3 * anew, 2)}
            for length, (kept, anew) in zip(lengths_written, written, strict=True)
        ],
    }


def doubled(first: int, most: int) -> list[int]:
    """A number, twice as many and so on, up to `most`."""
    return [first << n for n in range((most // first).bit_length())]


def with_memory(network: TransformerXL, length: int) -> None:
    """Let a network keep so many tokens; no weight depends on that."""
    network.config = replace(network.config, memory_length=length)


def surprise(
    network: TransformerXL, tokens: np.ndarray, segment: int, length: int, skipped: int
) -> float:
    """Mean cross-entropy, in nats, of the tokens behind the first of each stream.

    Args:
        network: in evaluation mode.
        tokens: int64 [any]; they are cut into B streams.
        segment: T.
        length: M.
        skipped: first tokens of each stream that are not scored: all memories are full there.
    """
    import torch
    import torch.nn.functional as F

    with_memory(network, length)
    size = (len(tokens) - 1) // STREAMS
    rows = np.arange(STREAMS)[:, None] * size + np.arange(size + 1)
    streams = torch.from_numpy(tokens[rows])  # [B, size + 1]
    total, count, state = 0.0, 0, None
    with torch.no_grad():
        for first in range(0, size, segment):
            last = min(first + segment, size)
            logits, state = network(streams[:, first:last], state)  # [B, T, V]
            if first >= skipped:
                targets = streams[:, first + 1 : last + 1]
                total += float(
                    F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
                )
                count += targets.numel()
    return total / count


def seconds_per_token(
    network: TransformerXL, tokens: np.ndarray, length: int, tries: int = 9
) -> tuple[float, float]:
    """Processor time of one more token, by the median: from a memory, and from a window of as many
    tokens and the new one that is read anew.

    Args:
        network: in evaluation mode.
        tokens: int64 [any], read from the beginning as often as needed.
        length: M.
        tries: tokens of each kind.
    """
    import torch

    text = torch.from_numpy(np.resize(tokens, length + tries + 1))[None]
    with_memory(network, length)
    state = None
    kept, anew = [], []
    with torch.no_grad():
        for first in range(0, length, FILLING):
            _, state = network(text[:, first : min(first + FILLING, length)], state)
        for place in range(length, length + tries + 1):
            began = time.process_time()
            _, state = network(text[:, place, None], state)
            kept.append(time.process_time() - began)
        for place in range(length, length + tries + 1):
            began = time.process_time()
            network(text[:, place - length : place + 1])
            anew.append(time.process_time() - began)
    return float(np.median(kept[1:])), float(np.median(anew[1:]))  # the first of each is slow


def page(results: Mapping[str, Any]) -> list[str]:
    """Bits by memory, and milliseconds by length."""
    from studies.image_study import table

    memory, writing = results["memory"], results["writing"]
    return [
        f"Trained with a memory of {results['trained_with']:,} tokens.",
        "",
        *table(["tokens of memory", *(f"{row['length']:,}" for row in memory)],
               [["bits per character", *(f"{row['bits']:.3f}" for row in memory)]]),
        "",
        *table(["processor ms for a token after", *(f"{row['length']:,}" for row in writing)],
               [["from a memory", *(f"{row['memory_ms']:.1f}" for row in writing)],
                ["from a window read anew", *(f"{row['anew_ms']:.1f}" for row in writing)],
                ["times as long",
                 *(f"{row['anew_ms'] / row['memory_ms']:.0f}" for row in writing)]]),
    ]  # fmt: skip


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Bits by memory, and milliseconds by length."""
    from core.report.plots import COLOURS
    from studies.training import new_figure, save_figure

    figure, (left, right) = new_figure(2, width=9.0, height=3.6)
    memory, writing = results["memory"], results["writing"]
    left.plot(range(len(memory)), [row["bits"] for row in memory], "o-", color=COLOURS[0])
    left.set_xticks(range(len(memory)), [row["length"] for row in memory])
    left.set(xlabel="tokens of memory", ylabel="bits per character, test part")
    lengths = [row["length"] for row in writing]
    for name, label, colour in (
        ("anew_ms", "window read anew", COLOURS[1]), ("memory_ms", "memory", COLOURS[0]),
    ):  # fmt: skip
        right.loglog(
            lengths, [row[name] for row in writing], "o-", base=2, color=colour, label=label
        )
    right.set(xlabel="tokens before", ylabel="processor ms for one more token")
    for axis in (right.xaxis, right.yaxis):
        axis.set_major_formatter("{x:,.0f}")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.grid(alpha=0.25)
    save_figure(figure, path)
