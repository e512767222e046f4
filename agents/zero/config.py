"""Options of Zero, and settings that are known to work as presets. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.config import RunConfig, free, locked, warn
from core.errors import UserError
from networks.registry import require_image_network
from search.config import SearchConfig

TRUNKS = ("tower", "transformer")
"""Networks whose weights do not depend on the board's size; image networks' do."""


@dataclass(frozen=True)
class ZeroConfig:
    """Self-play with network-guided search. A step is one move of one game."""

    game: str = locked("go")
    """go, othello, gomoku, connect-four or tic-tac-toe."""
    size: int = locked(9)
    """Lines of the board, for games that have sizes."""
    sizes: str = locked("")
    """Go: learn boards of several sizes with one network, such as 5,7,9, instead of --size (Wu
    2019). Lanes are shared equally. Komi up to 7x7 is what the board is worth, beyond it --komi."""
    komi: float = locked(7.0)
    """Go: points for White in evaluation, and the middle of what self-play draws."""
    komi_spread: float = warn(1.0, at_least=0)
    """Go: standard deviation of self-play's komi; the network is told it, so that it learns who is
    ahead by how much. 0: always the same."""
    lanes: int = locked(128, at_least=1)
    """Games side by side."""

    network: str = locked("tower")
    """tower, or what stands in for it: transformer, or an image network of `tengen networks`."""
    blocks: int = locked(6, at_least=1)
    """Residual blocks of the tower, or blocks of the transformer."""
    channels: int = locked(64, at_least=1)
    """Channels of the maps that the heads see."""
    global_pooling: bool = locked(True)
    """Let every third block of the tower see the whole board at once (Wu 2019)."""

    simulations: int = warn(32, at_least=1)
    """Simulations a move at the end of the run."""
    first_simulations: int = warn(4, at_least=1)
    """Simulations a move at its start: early networks are not worth more (progressive
    simulation, Wu et al. 2023). They double at equal distances."""
    full_share: float = warn(1.0, over=0, at_most=1)
    """Share of moves with a full search, the only ones learned from; the others are quick, so that
    more games tell who wins (playout cap randomisation, Wu 2019)."""
    quick_simulations: int = warn(4, at_least=1)
    """Simulations of a quick search."""
    opening_moves: float = warn(0.0, at_least=0)
    """Mean number of opening moves drawn from the bare policy, for variety."""
    opening_temperature: float = warn(1.0, over=0)
    """Flattens the policy that openings are drawn from; large: any legal move."""
    passes_from: int = warn(0, at_least=0)
    """Self-play does not pass before this move of a game while it can play. Without it early
    networks of Go end their games before there is anything to learn from. With --sizes this is for
    the largest board, and on smaller ones less in proportion to their points."""
    temperature_moves: int = warn(12, at_least=0)
    """Moves of a game that a puct root draws by visits, before it takes the most visited."""
    surprise_share: float = warn(0.5, at_least=0, at_most=1)
    """Share of a game's learning that goes to its moves by how much the search surprised the
    policy (policy surprise weighting, Wu 2022)."""
    resign_below: float = warn(-2.0)
    """Give up when the expected outcome stays below this; -2: never."""
    resign_checked: float = warn(0.2, at_least=0, at_most=1)
    """Share of games played on regardless, which measures how often giving up would be wrong."""
    soft_resign_below: float = warn(-2.0, under=0)
    """Instead of giving up: while one side expected less than this at each of the last
    --soft-resign-moves moves, search less and learn from few of its positions, so that the end of
    lost games is seen but costs little (Wu 2019: -0.9); -2: never."""
    soft_resign_moves: int = warn(5, at_least=1)
    """Moves of both sides in a row that must agree on who has lost."""

    batch_size: int = warn(256, at_least=1)
    """Rows of an update."""
    learning_rate: float = warn(0.002, over=0, under=1)
    """Step size of AdamW at the start."""
    learning_rate_end: float = warn(0.0002, at_least=0)
    """Step size at the last step; it falls on a straight line."""
    weight_decay: float = warn(0.0001, at_least=0)
    """L2 of the paper, decoupled."""
    rows_per_new_row: float = warn(4.0, over=0, at_most=100)
    """Rows learned from for each new one; more wears the window out."""
    first_rows: int = warn(5_000, at_least=1)
    """Rows before learning starts."""
    window_rows: int = warn(500_000, at_least=1)
    """Most rows of the window, which grows with the number of all rows to the power of 0.75."""
    average_decay: float = warn(0.99, at_least=0, under=1)
    """Self-play uses weights averaged over updates with this decay; 0: the newest."""
    gate: float = warn(0.0, at_least=0, at_most=1)
    """Self-play changes to the newest network only at an evaluation in which it takes this share of
    the points against the one in use (AlphaGo Zero: 0.55); 0: it always has the newest."""
    ownership_weight: float = warn(0.5, at_least=0)
    """Weight of the loss of each cell's owner."""
    margin_weight: float = warn(0.1, at_least=0)
    """Weight of the loss of the margin, for games that count points."""
    normaliser_weight: float = warn(0.0001, at_least=0)
    """Weight of the loss that keeps what all policy logits share near 0 (PaLM's z-loss)."""
    augment: bool = warn(True)
    """Turn and mirror what is learned."""

    evaluation_simulations: int = warn(32, at_least=1)
    """Simulations a move in evaluation."""
    anchors: str = warn("random uct:200")
    """Fixed opponents of evaluation; random is 0 Elo."""
    pool_every: int = warn(4, at_least=1)
    """Every so many evaluations the network joins the pool of opponents."""

    concurrent_ticks: int = warn(0, at_least=0)
    """Play in a thread of its own, so many moves of all games with one copy of the weights, while
    the updates due before are made; 0 for one thread. Pays where cores or a GPU stand idle."""
    tree_threads: int = free(0)
    """Threads of rules and trees; 0: one for each core."""
    search: SearchConfig = field(default_factory=SearchConfig)
    run: RunConfig = field(default_factory=lambda: RunConfig(evaluate_episodes=64))

    @property
    def env(self) -> str:
        """The game with its size or sizes, as results name it."""
        if self.game not in ("go", "othello", "gomoku"):
            return self.game
        return "-".join([self.game, *map(str, self.board_sizes())])

    @staticmethod
    def upgrade(tree: Mapping[str, Any], version: int) -> Mapping[str, Any]:
        """The options of an older file: its 'start_from' is every agent's 'run.initial' now."""
        rest = {name: value for name, value in tree.items() if name != "start_from"}
        if tree.get("start_from"):
            rest["run"] = {"initial": tree["start_from"], **tree.get("run", {})}
        return rest

    def validate(self) -> None:
        """Raise UserError for values that cannot work together."""
        from envs.games.registry import find_game

        find_game(self.game)
        if self.network not in TRUNKS:
            require_image_network(self.network, TRUNKS)
        if self.window_rows < self.batch_size:
            raise UserError(
                f"--window-rows must be at least the --batch-size of {self.batch_size}, got "
                f"{self.window_rows}"
            )
        self._check_gate()
        self._check_sizes()
        self.boards()

    def _check_gate(self) -> None:
        if self.gate and not self.run.evaluate_every:
            raise UserError(
                "--gate lets self-play have a new network at evaluations only: give "
                "--evaluate-every, or leave --gate out"
            )

    def _check_sizes(self) -> None:
        if not self.sizes:
            return
        sizes = self.board_sizes()
        if self.game != "go":
            raise UserError(f"--sizes is for Go; {self.game} has one --size a run")
        if len(set(sizes)) < len(sizes):
            raise UserError(f"--sizes names a size twice: {self.sizes}")
        if self.lanes < len(sizes):
            raise UserError(f"{len(sizes)} sizes need as many --lanes at least, got {self.lanes}")
        if len(sizes) > 1 and self.network != "tower":
            raise UserError(
                f"only the tower learns from boards of several --sizes together, not "
                f"--network {self.network}"
            )

    def board_sizes(self) -> list[int]:
        """Lines of the boards, the largest last. Raises UserError where --sizes has no numbers."""
        if not self.sizes:
            return [self.size]
        words = self.sizes.replace(",", " ").split()
        if not words or not all(re.fullmatch("[0-9]{1,4}", word) for word in words):
            raise UserError(f"--sizes must be numbers such as 5,7,9, got {self.sizes!r}")
        return sorted(int(word) for word in words)

    def boards(self) -> list[Any]:
        """The game's own options for each size, the largest last. Raises UserError where they
        cannot be."""
        from envs.games.options import BOARD_VALUES

        if not self.sizes:
            return [self._options(self.size, self.komi)]
        sizes = self.board_sizes()
        return [self._options(size, BOARD_VALUES.get(size, self.komi)) for size in sizes]

    def _options(self, size: int, komi: float) -> Any:
        from envs.games.options import GoOptions
        from envs.games.registry import find_game

        entry, _ = find_game(self.game)
        if entry.options is GoOptions:
            # Two moves a point are more than a sensible game takes.
            return GoOptions(size, komi, "cgos", move_limit=2 * size * size + 20)
        sized = "size" in entry.options.__dataclass_fields__
        return entry.options(size=size) if sized else entry.options()


Preset = tuple[str, Mapping[str, Any]]

DEFAULT_PRESET = "go9"

PRESETS: dict[str, Preset] = {
    "go9": (
        "Go on 9x9 with komi 7 (default)",
        {
            "first_rows": 20_000,
            "full_share": 0.5,
            "simulations": 64,
            "first_simulations": 8,
            "opening_moves": 2.0,
            "passes_from": 40,
            "run": {"total_steps": 30_000_000, "evaluate_every": 500_000},
        },
    ),
    "go7": (
        "Go on 7x7",
        {
            "size": 7,
            "komi": 9.0,
            "komi_spread": 2.0,
            "blocks": 4,
            "channels": 48,
            "opening_moves": 1.0,
            "passes_from": 24,
            "run": {"total_steps": 8_000_000, "evaluate_every": 250_000},
        },
    ),
    "go5": (
        "Go on 5x5",
        {
            "size": 5,
            "komi": 24.0,
            "komi_spread": 4.0,
            "blocks": 3,
            "channels": 32,
            "opening_moves": 1.0,
            "passes_from": 12,
            "run": {"total_steps": 3_000_000, "evaluate_every": 100_000},
        },
    ),
    "connect-four": (
        "Connect Four",
        {
            "game": "connect-four",
            "blocks": 4,
            "channels": 48,
            "opening_moves": 1.0,
            "anchors": "random uct:1000",
            "run": {"total_steps": 4_000_000, "evaluate_every": 200_000},
        },
    ),
    "tic-tac-toe": (
        "Tic-tac-toe, perfect in two minutes",
        {
            "game": "tic-tac-toe",
            "lanes": 64,
            "blocks": 2,
            "channels": 32,
            "simulations": 16,
            "first_simulations": 16,
            "opening_moves": 2.0,
            "opening_temperature": 4.0,
            "first_rows": 1_000,
            "window_rows": 20_000,
            "batch_size": 128,
            "learning_rate": 0.004,
            "anchors": "random uct:1000",
            "run": {"total_steps": 60_000, "evaluate_every": 10_000, "evaluate_episodes": 100},
        },
    ),
}
