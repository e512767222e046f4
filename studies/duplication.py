"""How many hashes a Reformer needs: a text 0 w 0 w whose second half is to be told.

Kitaev et al. 2020, Reformer, arXiv 2001.04451, section 5 and table 2, in a small form: one block
that must look half a text back, trained with some hashes or full attention and evaluated with
others. Its chunks are far shorter than half a text, so nothing but the hashes can find the place.

    tengen study duplication

Legend: B texts, T tokens, V symbols with 0. 0 hashes mean full attention.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import free
from studies.grid import Cell, Found, GridOptions, key, run_grid

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from networks.language.reformer import Reformer, ReformerConfig

TITLE = "The duplication task by number of hashes"
TRAINED = (0, 4, 2, 1)
EVALUATED = (0, 8, 4, 2, 1)
TOLD = 256
"""Texts whose second halves are told."""


@dataclass(frozen=True)
class Options(GridOptions):
    """Share of the second half told, by hashes in training and evaluation."""

    length: int = free(32, at_least=8)
    """T, a multiple of four chunks, so that none reaches half a text back."""
    symbols: int = free(16, at_least=2)
    """V."""
    chunk_length: int = free(4, at_least=2)
    """Tokens that hashed attention looks at together."""
    updates: int = free(1000, at_least=1)
    """Of 32 texts each; a tenth with --quick."""
    seed: int = free(1, at_least=0)
    """Of weights and texts."""
    out: str = "runs/studies/duplication"
    """Folder of journal, results.json, figure.png and page.md."""


def run(options: Options) -> dict[str, Any]:
    """A network for each number of hashes in training. Raises UserError for chunks that do not fit
    the length."""
    from core.errors import UserError

    if options.length % (4 * options.chunk_length):
        raise UserError(
            f"--length {options.length} must be a multiple of four times --chunk-length "
            f"{options.chunk_length}"
        )
    cells = [
        {"hashes": hashes, "length": options.length, "symbols": options.symbols,
         "chunk_length": options.chunk_length, "seed": options.seed,
         "updates": max(1, options.updates // (10 if options.quick else 1))}
        for hashes in TRAINED
    ]  # fmt: skip
    found = run_grid(compute, cells, Path(options.out), options.processes)
    return {"shares": {_name(cell["hashes"]): found[key(cell)]["shares"] for cell in cells}}


def compute(cell: Cell) -> Found:
    """Train a network, and evaluate it with every number of hashes."""
    network = train(cell)
    return {"shares": {_name(hashes): accuracy(network, hashes, cell) for hashes in EVALUATED}}


def train(cell: Cell) -> Reformer:
    """A network that has seen random texts."""
    import torch
    import torch.nn.functional as F

    from networks.language.reformer import Reformer

    torch.manual_seed(cell["seed"])
    generator = torch.Generator().manual_seed(cell["seed"])
    network = Reformer(sizes(cell["hashes"], cell))
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.05, cell["updates"])
    half = cell["length"] // 2
    for _ in range(cell["updates"]):
        batch = texts(32, cell, generator)
        logits, _ = network(batch[:, :-1])
        loss = F.cross_entropy(logits[:, half:].flatten(0, 1), batch[:, half + 1 :].flatten())
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return network


def sizes(hashes: int, cell: Cell) -> ReformerConfig:
    """One block that hashes; 0 hashes put all positions into one chunk. Rows and columns of a table
    cannot tell what is half a text away, so the table has a column for each position."""
    from networks.language.reformer import ReformerConfig

    return ReformerConfig(
        vocabulary=cell["symbols"], context_length=cell["length"] ** 2, width=64, layers=1, heads=4,
        head_width=32, inner=128, attention=("lsh",), dropout=0.0, hashes=max(1, hashes),
        chunk_length=cell["chunk_length"] if hashes else cell["length"],
    )  # fmt: skip


def texts(count: int, cell: Cell, generator: torch.Generator) -> Tensor:
    """0 w 0 w, int64 [B, T]."""
    import torch
    import torch.nn.functional as F

    word = torch.randint(1, cell["symbols"], (count, cell["length"] // 2 - 1), generator=generator)
    return F.pad(word, (1, 0)).repeat(1, 2)


def accuracy(network: Reformer, hashes: int, cell: Cell) -> float:
    """Share of the second half of new texts that is told with so many hashes."""
    import torch

    from networks.language.reformer import Reformer

    judged = Reformer(sizes(hashes, cell)).eval()
    judged.load_state_dict(network.state_dict())
    generator = torch.Generator().manual_seed(cell["seed"] + 1)
    batch, half = texts(TOLD, cell, generator), cell["length"] // 2
    with torch.no_grad():
        guesses = judged(batch[:, :-1])[0][:, half:].argmax(dim=-1)
    return float((guesses == batch[:, half + 1 :]).float().mean())


def _name(hashes: int) -> str:
    return {0: "full attention", 1: "1 hash"}.get(hashes, f"{hashes} hashes")


def page(results: Mapping[str, Any]) -> list[str]:
    """A row for each training."""
    from studies.image_study import table

    rows = [
        [name, *(f"{shares[_name(hashes)]:.1%}" for hashes in EVALUATED)]
        for name, shares in results["shares"].items()
    ]
    return table(["trained with", *map(_name, EVALUATED)], rows)


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Shares by hashes in evaluation, a line for each training."""
    from core.report.plots import COLOURS
    from studies.training import new_figure, save_figure

    figure, (ax,) = new_figure(1, width=6.5, height=3.6)
    for colour, (name, shares) in zip(COLOURS, results["shares"].items(), strict=False):
        percent = [100 * share for share in shares.values()]
        ax.plot(list(shares), percent, "o-", color=colour, label=f"trained with {name}")
    ax.set(title=TITLE, xlabel="evaluated with", ylabel="percent told")
    ax.legend(frameon=False, fontsize=9)
    ax.grid(axis="y", alpha=0.25)
    save_figure(figure, path)
