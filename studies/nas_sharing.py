"""Do shared weights rank designs as trainings of their own do? Of a run with --evaluator shared.

Designs are drawn uniformly and scored on the same validation images twice: with the run's shared
weights, and trained from scratch. Two rank correlations tell how alike the orders are. Beside them
stand those of the number of parameters, which costs nothing, and of a second training with another
seed, which shows what the noise of a training allows.

    python -m studies.nas_sharing RUN
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from scipy.stats import kendalltau, spearmanr

if not __package__:  # started as a file: its folder, not the repository, is first on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agents.nas.agent import ArchitectureSearch
from agents.nas.build import build
from agents.nas.child import Job, results
from agents.nas.sharing import SharedWeights
from agents.nas.training import ChildTrainer
from commands.session import saved_config
from core.errors import UserError
from core.files import checkpoint
from core.files.run_folder import RunFolder
from core.learner import Arithmetic
from core.seeds import derived_seed
from envs.architecture.space import Space, Tokens, sample
from studies.training import Clock, write_results


@dataclass(frozen=True)
class Options:
    """Rank correlation of scores by shared weights with scores of trainings from scratch."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of a run with --evaluator shared."""
    designs: int = 12
    """Different networks, drawn uniformly."""
    epochs: float = 3.0
    """Of each training from scratch."""
    seed: int = 1
    out: Path = Path("runs/studies/nas-sharing.json")
    """Where the results go."""


def main(argv: Sequence[str] | None = None) -> None:
    """Score, train, compare, print, write."""
    options = tyro.cli(Options, args=argv, description=Options.__doc__)
    clock = Clock()
    shared, space, arithmetic = load(options.run)
    trainer = ChildTrainer(replace(shared.options, child_epochs=options.epochs), False, arithmetic)
    batches = shared.validation_batches()
    rows: list[list[float]] = []
    for number, tokens in enumerate(different(space, options.designs, options.seed)):
        design = space.design(tokens)
        with_shared = shared.score(design, batches).metrics
        row = [with_shared["score"], with_shared["parameters"]]
        for again in range(2):
            *_, alone = results(
                trainer, Job(number, design, derived_seed(options.seed, "alone", number, again))
            )
            assert alone is not None
            row.append(alone.metrics["score"])
        rows.append(row)
        print(
            f"{''.join(map(str, tokens))}  shared {row[0]:.4f}  parameters {row[1]:>7,.0f}  "
            f"alone {row[2]:.4f} {row[3]:.4f}",
            flush=True,
        )
    found = correlations(np.array(rows))
    for name, (spearman, kendall) in found.items():
        print(f"{name:<28} Spearman {spearman:+.2f}   Kendall {kendall:+.2f}")
    write_results(options.out, options, clock, {"scores": rows, "correlations": found})


def load(folder: Path) -> tuple[SharedWeights, Space, Arithmetic]:
    """The shared weights of a run's newest checkpoint.

    Raises:
        UserError: it is no run with --evaluator shared, or its data are not here.
    """
    entry, config = saved_config(RunFolder.open(folder))
    if entry.name != "nas" or config.evaluator != "shared":
        raise UserError(f"{folder} is no run of nas with --evaluator shared")
    saved = checkpoint.load(folder).state
    arithmetic = Arithmetic.from_state(saved["arithmetic"])
    agent = build(config, folder / "replay", print, arithmetic).agent
    assert isinstance(agent, ArchitectureSearch) and agent.shared is not None
    agent.load_state_dict(saved)
    return agent.shared, agent.space, arithmetic


def different(space: Space, count: int, seed: int) -> Iterator[Tokens]:
    """So many uniform designs that all mean other networks."""
    random, seen = np.random.default_rng(seed), set[Tokens]()
    while len(seen) < count:
        tokens = sample(space, random)
        if space.canonical(tokens) not in seen:
            seen.add(space.canonical(tokens))
            yield tokens


def correlations(scores: np.ndarray) -> dict[str, tuple[float, float]]:
    """Spearman's rho and Kendall's tau-b with what trainings from scratch give, [N, 4]: shared
    weights, parameters, and two trainings, which are averaged unless they are compared."""
    alone = scores[:, 2:].mean(axis=1)
    pairs: dict[str, Any] = {
        "shared weights": (scores[:, 0], alone),
        "number of parameters": (scores[:, 1], alone),
        "a training and another": (scores[:, 2], scores[:, 3]),
    }
    return {
        name: (float(spearmanr(*pair).statistic), float(kendalltau(*pair).statistic))
        for name, pair in pairs.items()
    }


if __name__ == "__main__":
    main()
