"""Puts Zero together from its options: games, store, network, arithmetic, evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.zero.agent import Zero, build_learner, update
from agents.zero.assess import NetworkSide, Side, anchor_names, anchor_side, play_match, rate
from agents.zero.config import TRUNKS, ZeroConfig
from agents.zero.evaluator import NetworkEvaluator
from agents.zero.playing import board_name
from agents.zero.store import GameStore, Rows
from core.agent import Assessment, Task
from core.built import Built, Note
from core.concurrent import on_lanes
from core.errors import UserError
from core.learner import Arithmetic, load_weights
from core.machine.environment_facts import usable_cores
from core.machine.probe import Trial, choose_arithmetic
from core.machine.threads import shares_of
from envs.games.game import Game
from envs.games.lanes import GameLanes
from envs.games.registry import load_game
from networks.adapters import build_trunk
from networks.control.zero import ZeroNetwork, ZeroShape

POOL_OPPONENTS = 3
"""Earlier networks that an evaluation plays against."""


def build(
    config: ZeroConfig, folder: Path, note: Note, arithmetic: Arithmetic | None = None
) -> Built:
    """Zero ready to be trained.

    Args:
        config: its options.
        folder: where stored games are kept.
        note: told what was chosen, and of stored games that are damaged.
        arithmetic: of the run that is resumed; None to choose by measuring.

    Raises:
        UserError: there is no such game, anchor or device, or the network cannot take the board.
    """
    game, boards = load_game(config.game), config.boards()
    anchors = anchor_names(config.anchors)
    threads = config.tree_threads or usable_cores()
    if arithmetic is None:
        probe = choose_arithmetic(config.run, _trial(config, game))
        note(str(probe))
        arithmetic = probe.choice
    torch.set_num_threads(arithmetic.threads)
    torch.manual_seed(config.run.seed)  # only now: each trial of the probe draws a network too
    network = build_network(config, game)
    arithmetic.place(network)
    shares = shares_of(0, config.lanes, len(boards))
    lanes = [
        GameLanes(game, options, last - first, threads)
        for options, (first, last) in zip(boards, shares, strict=True)
    ]
    several = len(boards) > 1
    stores = [
        GameStore(game, options, folder / board_name(options) if several else folder, note, threads)
        for options in boards
    ]
    agent = Zero(config, lanes, stores, network, arithmetic, threads)

    def evaluate(agent_steps: int, seed: int, stop: Callable[[], bool]) -> Assessment | None:
        return assess_agent(agent, anchors, agent_steps, stop, threads)

    task = Task(config.env, "", 1, evaluate, lambda score: None)
    return Built(
        on_lanes(agent, config.run.seed, config.concurrent_ticks, arithmetic.device),
        task,
        arithmetic,
        {"parameters": parameter_count(network)},
    )


def build_network(config: ZeroConfig, game: Game) -> ZeroNetwork:
    """The network that the options ask for; with several sizes, that of the largest board."""
    return network_for(config, game, config.boards()[-1])


def network_for(config: ZeroConfig, game: Game, options: Any) -> ZeroNetwork:
    """The same network for a board of another size.

    Raises:
        UserError: the network's weights depend on the size, or it cannot take such a board.
    """
    height, width = options.shape
    trained = config.boards()[-1].shape
    if config.network not in TRUNKS and (height, width) != trained:
        raise UserError(
            f"the weights of network {config.network} depend on the board: they are for "
            f"{trained[0]}x{trained[1]}, not {height}x{width}"
        )
    trunk = None
    if config.network != "tower":
        planes = game.planes + 1  # the last tells komi
        trunk = build_trunk(config.network, planes, height, width, config.channels, config.blocks)
    shape = ZeroShape(game.planes, height, width, game.actions(options), game.naming)
    return ZeroNetwork(
        shape, config.blocks, config.channels, global_pooling=config.global_pooling, trunk=trunk
    )


def build_policy(
    config: ZeroConfig, lanes: Any, weights: Mapping[str, Any], seed: int, device: str
) -> Any:
    """Never: the strength of a board game's agent is the result of matches.

    Raises:
        UserError: always, naming the command that does it.
    """
    raise UserError(
        f"{config.env} is scored by matches, not by episodes: "
        f"tengen match {config.game} --first RUN --second uct"
    )


def describe(config: ZeroConfig) -> list[str]:
    """What a dry run says: the network's size and what the window will take."""
    game, boards = load_game(config.game), config.boards()
    row_bytes = 2 * game.actions(boards[-1]) + 8
    sizes = [f"{board_name(board)} with komi {board.komi:g}" for board in boards if config.sizes]
    return [
        *([f"boards: {', '.join(sizes)}"] if sizes else []),
        f"{parameter_count(build_network(config, game)):,} parameters",
        f"window: {config.window_rows:,} rows, {config.window_rows * row_bytes / 1e6:.0f} MB",
    ]


def parameter_count(network: torch.nn.Module) -> int:
    """Trainable numbers in a network."""
    return sum(p.numel() for p in network.parameters())


def _trial(config: ZeroConfig, game: Game) -> Trial:
    """Self-play's forward passes and the update they pay for, on made-up data; with several sizes
    of the board, all on the largest."""
    *smaller, options = config.boards()
    batch, actions = config.batch_size, game.actions(options)
    cells = int(np.prod(options.shape))
    rows = Rows(
        np.zeros((batch, game.planes, *options.shape), np.uint8), np.zeros(batch, np.int32),
        np.full((batch, actions), 1 / actions, np.float32), np.zeros(batch, np.float32),
        np.zeros((batch, cells), np.int8), np.zeros(batch, np.int32), np.ones(batch, np.bool_),
        np.ones((batch, *options.shape), np.uint8) if smaller else None,
    )  # fmt: skip
    planes = np.zeros((config.lanes, game.planes, *options.shape), np.uint8)
    handicap = np.zeros(config.lanes, np.int32)
    paid = batch / config.rows_per_new_row * config.simulations / config.lanes
    passes = max(1, min(20, round(paid)))

    def trial(arithmetic: Arithmetic) -> Callable[[], object]:
        network = build_network(config, game)
        arithmetic.place(network)
        learner = build_learner(network, config, arithmetic)
        evaluator = NetworkEvaluator(network, arithmetic)

        def work() -> None:
            update(network, learner, rows, config)
            for _ in range(passes):
                evaluator.begin(planes, handicap)()

        return work

    return trial


# ------------------------------------------------------------------ evaluation


def assess_agent(
    agent: Zero, anchors: list[str], agent_steps: int, stop: Callable[[], bool], threads: int
) -> Assessment | None:
    """Play the averaged network against anchors and its past, on every size of the board; rate
    everybody together."""
    config, name, boards = agent.config, f"step {agent_steps}", agent.boards
    games = max(2, config.run.evaluate_episodes // len(boards) // 2 * 2)
    agent.results = [r for r in agent.results if name not in (r["first"], r["second"])]
    agent.pool = [member for member in agent.pool if member["name"] != name]
    own = _sides(agent, agent.averaged.state_dict(), games, threads)
    scores: dict[str, list[float]] = {}
    everything: list[float] = []
    played: list[dict[str, Any]] = []
    members = {str(m["name"]): m for m in agent.pool[-POOL_OPPONENTS:]}
    for opponent in [*anchors, *members]:
        sides: list[Side]
        if opponent in members:
            sides = _sides(agent, members[opponent]["weights"], games, threads)
        else:
            sides = [anchor_side(opponent, board.lanes.game, board.lanes.options, agent_steps)
                     for board in boards]  # fmt: skip
        found = _play_everywhere(agent, own, sides, games, agent_steps, stop)
        if found is None:
            return None
        points = [float((results + 1).sum() / 2) for results in found]
        all_games = games * len(boards)
        played.append(
            {"first": name, "second": opponent, "points": sum(points), "games": all_games}
        )
        scores[opponent] = [sum(points) / all_games, *(share / games for share in points)]
        everything += np.concatenate(found).astype(float).tolist()
    gate = None
    if config.gate and (gate := pass_gate(agent, own, games, agent_steps, stop, threads)) is None:
        return None
    agent.results += played
    players = list(dict.fromkeys([*anchors, *(r["first"] for r in agent.results)]))
    elo, width = rate(agent.results, players)[name]
    evaluations = len({r["first"] for r in agent.results})
    if (evaluations - 1) % config.pool_every == 0 or not agent.pool:
        weights = {k: v.cpu().clone() for k, v in agent.averaged.state_dict().items()}
        agent.pool.append({"name": name, "weights": weights})
    scalars = {"elo/elo": elo, "elo/low": elo - width, "elo/high": elo + width}
    marks = ["", *(f"_{board.name}" for board in boards if len(boards) > 1)]
    for key in anchors:
        tags = (f"score/{key.replace(':', '_')}{mark}" for mark in marks)
        scalars |= dict(zip(tags, scores[key], strict=False))
    shares = ", ".join(f"{score:.0%} against {key}" for key, (score, *_) in scores.items())
    text = f"Elo {elo:.0f} ± {width:.0f} (random is 0): {shares}, {games * len(boards)} games each"
    if gate is not None:
        scalars["gate/score"] = gate
        text += f"; {'new' if gate >= config.gate else 'old'} network for self-play ({gate:.0%})"
    return Assessment(everything, elo, scalars, text)


def pass_gate(
    agent: Zero, newest: Sequence[Side], games: int, seed: int, stop: Callable[[], bool],
    threads: int,
) -> float | None:  # fmt: skip
    """Give self-play the averaged network if it beats the one in use; its share of the points.

    None: stopped.
    """
    in_use = _sides(agent, agent.played.state_dict(), games, threads)
    found = _play_everywhere(agent, newest, in_use, games, seed, stop)
    if found is None:
        return None
    share = float((np.concatenate(found) + 1).mean() / 2)
    if share >= agent.config.gate:
        agent.play_averaged()
    return share


def _sides(agent: Zero, weights: Mapping[str, Any], games: int, threads: int) -> list[Side]:
    """A network on every board."""
    network = build_network(agent.config, agent.boards[0].lanes.game)
    load_weights(network, weights)
    evaluator = NetworkEvaluator(network, agent.arithmetic)
    return [
        NetworkSide(
            board.lanes.game, board.lanes.options, games, evaluator, agent.config.search,
            agent.config.evaluation_simulations, threads,
        )
        for board in agent.boards
    ]  # fmt: skip


def _play_everywhere(
    agent: Zero, first: Sequence[Side], second: Sequence[Side], games: int, seed: int,
    stop: Callable[[], bool],
) -> list[np.ndarray] | None:  # fmt: skip
    """A match on every board, of so many games each; see `play_match`."""
    found = []
    for board, one, other in zip(agent.boards, first, second, strict=True):
        lanes = board.lanes
        results = play_match(lanes.game, lanes.options, one, other, games, seed, stop)
        if results is None:
            return None
        found.append(results)
    return found
