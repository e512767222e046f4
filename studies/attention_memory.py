"""How much memory a long text takes: hashed attention beside full attention.

Kitaev et al. 2020, Reformer, arXiv 2001.04451, section 2: full attention holds T x T scores, hashed
attention T x 2 chunks. Peak memory of the process over its beginning, for one pass forwards and
back of a small Reformer whose attention is all hashed, or has all in one chunk; lengths rise, so
that each peak is its own.

    python -m studies.attention_memory
    python -m studies.attention_memory --full --lengths 1024 2048 4096

Legend: T tokens.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

if not __package__:  # started as a file: its folder, not the repository, is first on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from networks.language.reformer import Reformer, ReformerConfig


@dataclass(frozen=True)
class Options:
    """Peak memory and seconds, by length."""

    lengths: tuple[int, ...] = (1024, 2048, 4096, 8192, 16384, 32768)
    """T, rising."""
    full: bool = False
    """Full attention."""
    layers: int = 2
    hashes: int = 1
    chunk_length: int = 64


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = tyro.cli(Options, args=argv, description=Options.__doc__)
    measure(2 * options.chunk_length, options)  # what a first pass alone takes
    start = peak()
    for length in options.lengths:
        began = time.process_time()
        measure(length, options)
        seconds = time.process_time() - began
        print(f"{length:>7} tokens {peak() - start:>7,.0f} MB {seconds:6.1f} s", flush=True)


def measure(length: int, options: Options) -> None:
    """One pass forwards and back."""
    torch.manual_seed(0)
    network = Reformer(
        ReformerConfig(
            vocabulary=64, context_length=length, width=64, layers=options.layers, heads=2,
            head_width=32, inner=128, attention=("lsh",), hashes=options.hashes, dropout=0.0,
            chunk_length=length if options.full else options.chunk_length,
        )
    )  # fmt: skip
    logits, _ = network(torch.randint(64, (1, length)))
    torch.autograd.backward(logits.square().mean())


def peak() -> float:
    """Of this process so far, megabytes."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kibibytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


if __name__ == "__main__":
    main()
