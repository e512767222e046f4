"""Games for the value network, by the recipe of Silver et al. 2016.

A game's first U - 1 moves are the supervised policy's, U drawn evenly; then comes a random legal
move, then the reinforced policy's to the end. The position after the random move is learned with
the outcome: it is the first from which the reinforced policy alone decides.

Games are kept as moves, in files of CHUNK games, each written whole and from random numbers of its
own: an interrupted making goes on where it was, and more games leave those there as they are:

    moves    int16 [M]   of all games, one after the other; size * size a pass
    lengths  int32 [G]
    results  int8  [G]   1 Black won, -1 White won, 0 a draw
    sampled  int32 [G]   moves before the position that is learned; -1 where the game ended earlier
    facts    int32 [2]   size, komi in half points

Legend: G games, M moves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from agents.alphago.collection import play_legal
from agents.alphago.self_play import Choice, Chooser, UniformPlayer, play_games
from core.errors import UserError
from core.files import atomic, tensor_file
from core.files.json_files import disk_errors
from envs.games.go.game import GO
from envs.games.options import GoOptions
from envs.games.state import MOVE_NUMBER, OUTCOME

CHUNK = 256
KINDS = {"moves": "int16", "lengths": "int32", "results": "int8", "sampled": "int32",
         "facts": "int32"}  # fmt: skip
Chunk = dict[str, np.ndarray]


def latest_sample(size: int) -> int:
    """U is at most this: the paper's 450 on 19 lines, 1.25 a point, is later than most games of
    policies that fill the board end; this is one a point."""
    return size * size


def chunk_files(folder: Path) -> list[Path]:
    """The files of games in a folder, in order."""
    return sorted(folder.glob("games-*.safetensors"))


def make_games(
    folder: Path,
    games: int,
    options: GoOptions,
    policies: Callable[[], Sequence[Chooser]],
    seed: int,
    note: Callable[[str], None],
) -> None:
    """Fill a folder up to a number of games, or up to CHUNK - 1 more.

    Args:
        folder: for the files.
        games: wanted.
        options: of every game.
        policies: makes the supervised and the reinforced policy where games are missing.
        seed: of the games; a folder is filled up with the seed it was begun with.
        note: told progress.

    Raises:
        UserError: a file cannot be read or written, or is of other games.
    """
    players: list[Chooser] = []
    with disk_errors("write", folder):
        atomic.make_folder(folder)
    for number in range(-(-games // CHUNK)):
        path = folder / f"games-{number:05d}.safetensors"
        if path.exists():
            continue
        if not players:
            supervised, reinforced = policies()
            players = [supervised, UniformPlayer(), reinforced]
        chunk = play_chunk(players, CHUNK, options, np.random.default_rng([seed, number]))
        with disk_errors("write", path):
            atomic.write_file(path, tensor_file.chunks(chunk))
        note(f"made {min(games, (number + 1) * CHUNK):,} of {games:,} games")


def play_chunk(
    players: Sequence[Chooser], games: int, options: GoOptions, random: np.random.Generator
) -> Chunk:
    """Play games: the supervised policy, the random mover and the reinforced policy in turn."""
    last = random.integers(1, latest_sample(options.size) + 1, games)  # U
    states = np.stack([GO.initial_state(options)] * games)
    moves: list[list[int]] = [[] for _ in range(games)]

    def whose(states: np.ndarray) -> np.ndarray:
        after = states[:, MOVE_NUMBER] + 1 - last
        return np.sign(after) + 1

    def told(player: int, numbers: np.ndarray, choice: Choice) -> None:
        actions = choice.actions.tolist()
        for number, action in zip(numbers.tolist(), actions, strict=True):
            moves[number].append(action)

    play_games(states, players, whose, random, told)
    lengths = np.array([len(game) for game in moves], np.int32)
    return {
        "moves": np.array([move for game in moves for move in game], np.int16),
        "lengths": lengths,
        "results": states[:, OUTCOME].astype(np.int8),
        "sampled": np.where(last < lengths, last, -1).astype(np.int32),
        "facts": np.array([options.size, round(2 * options.komi)], np.int32),
    }


def read_chunk(path: Path, options: GoOptions) -> Chunk:
    """Read and check a file of games.

    Raises:
        UserError: it cannot be read, or holds no games of this board and komi.
    """
    try:
        arrays = {name: tensor_file.to_array(t) for name, t in tensor_file.read(path)[0].items()}
        problem = _problem(arrays, options)
    except (OSError, ValueError) as error:
        problem = str(error)
    if problem:
        raise UserError(f"{path} cannot be learned from: {problem}; remove it, and it is made anew")
    return arrays


def _problem(arrays: Chunk, options: GoOptions) -> str:
    """What is wrong with arrays that were read; '' if nothing is."""
    if {name: str(array.dtype) for name, array in arrays.items()} != KINDS:
        return "its arrays are others"
    if any(array.ndim != 1 for array in arrays.values()) or len(arrays["facts"]) != 2:
        return "its arrays have other shapes"
    if arrays["facts"].tolist() != [options.size, round(2 * options.komi)]:
        return f"its games are of {arrays['facts'][0]} lines and komi {arrays['facts'][1] / 2:g}"
    moves, lengths, sampled = arrays["moves"], arrays["lengths"], arrays["sampled"]
    counts = {len(lengths), len(arrays["results"]), len(sampled)}
    if len(counts) > 1 or (lengths < 1).any() or lengths.sum(dtype=np.int64) != len(moves):
        return "its counts do not fit its arrays"
    inside = (moves >= 0) & (moves <= options.size**2)
    if not inside.all() or (sampled >= lengths).any() or (sampled < -1).any():
        return "its moves are outside the board"
    return ""


def read_games(folder: Path, games: int, options: GoOptions) -> Chunk:
    """All arrays of a folder, its first `games` games, joined. Raises UserError for what cannot be
    read, or an illegal move."""
    chunks = [read_chunk(path, options) for path in chunk_files(folder)]
    joined = {name: np.concatenate([c[name] for c in chunks]) for name in KINDS if name != "facts"}
    kept = slice(0, games)
    lengths = joined["lengths"][kept]
    start, begin = GO.initial_state(options), 0
    for number, length in enumerate(lengths.tolist()):
        played = play_legal(start.copy(), joined["moves"][begin : begin + length])
        if played != length:
            raise UserError(f"game {number + 1} in {folder} has an illegal move: remove its file")
        begin += length
    return {
        "moves": joined["moves"][: int(lengths.sum())],
        "lengths": lengths,
        "results": joined["results"][kept],
        "sampled": joined["sampled"][kept],
    }
