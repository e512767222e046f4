"""How many hashes a Reformer needs: a text 0 w 0 w whose second half is to be told.

Kitaev et al. 2020, Reformer, arXiv 2001.04451, section 5 and table 2, in a small form: one block
that must look half a text back, trained with some hashes or full attention and evaluated with
others. Its chunks are far shorter than half a text, so nothing but the hashes can find the place.

    python -m studies.duplication

Legend: B texts, T tokens, V symbols with 0.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
import tyro
from torch import Tensor

if not __package__:  # started as a file: its folder, not the repository, is first on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from networks.language.reformer import Reformer, ReformerConfig


@dataclass(frozen=True)
class Options:
    """Share of the second half told, by hashes in training and evaluation (0: full attention)."""

    length: int = 32
    """T"""
    symbols: int = 16
    """V"""
    chunk_length: int = 4
    trained: tuple[int, ...] = (0, 4, 2, 1)
    evaluated: tuple[int, ...] = (0, 8, 4, 2, 1)
    updates: int = 1000
    batch_size: int = 32
    learning_rate: float = 1e-3
    seed: int = 1


def main(argv: Sequence[str] | None = None) -> None:
    """Train, evaluate and print a table."""
    options = tyro.cli(Options, args=argv, description=Options.__doc__)
    names = [f"{n} hashes" if n else "full" for n in options.evaluated]
    print("".join(f"{name:>12}" for name in ("trained with", *names)))
    for hashes in options.trained:
        network = train(hashes, options)
        shares = [accuracy(network, n, options) for n in options.evaluated]
        name = f"{hashes} hashes" if hashes else "full"
        print(f"{name:>12}" + "".join(f"{share:12.1%}" for share in shares), flush=True)


def sizes(hashes: int, options: Options) -> ReformerConfig:
    """One block that hashes; 0 hashes put all positions into one chunk. Rows and columns of a table
    cannot tell what is half a text away, so the table has a column for each position."""
    return ReformerConfig(
        vocabulary=options.symbols, context_length=options.length**2, width=64, layers=1, heads=4,
        head_width=32, inner=128, attention=("lsh",), dropout=0.0, hashes=max(1, hashes),
        chunk_length=options.chunk_length if hashes else options.length,
    )  # fmt: skip


def texts(options: Options, generator: torch.Generator) -> Tensor:
    """0 w 0 w, int64 [B, T]."""
    word = torch.randint(
        1, options.symbols, (options.batch_size, options.length // 2 - 1), generator=generator
    )
    return F.pad(word, (1, 0)).repeat(1, 2)


def train(hashes: int, options: Options) -> Reformer:
    """A network that has seen random texts."""
    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    network = Reformer(sizes(hashes, options))
    optimiser = torch.optim.Adam(network.parameters(), options.learning_rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.05, options.updates)
    half = options.length // 2
    for _ in range(options.updates):
        batch = texts(options, generator)
        logits, _ = network(batch[:, :-1])
        loss = F.cross_entropy(logits[:, half:].flatten(0, 1), batch[:, half + 1 :].flatten())
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return network


@torch.no_grad()
def accuracy(network: Reformer, hashes: int, options: Options) -> float:
    """Share of the second half of new texts that is told with so many hashes."""
    judged = Reformer(sizes(hashes, options)).eval()
    judged.load_state_dict(network.state_dict())
    generator = torch.Generator().manual_seed(options.seed + 1)
    batch = texts(replace(options, batch_size=256), generator)
    half = options.length // 2
    guesses = judged(batch[:, :-1])[0][:, half:].argmax(dim=-1)
    return float((guesses == batch[:, half + 1 :]).float().mean())


if __name__ == "__main__":
    main()
