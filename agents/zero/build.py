"""Puts Zero together from its options: games, store, network, arithmetic, evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.zero.agent import Zero, build_learner, update
from agents.zero.assess import NetworkSide, Side, anchor_names, anchor_side, play_match, rate
from agents.zero.config import TRUNKS, ZeroConfig
from agents.zero.evaluator import NetworkEvaluator
from agents.zero.store import GameStore, Rows
from core.agent import Assessment, Task
from core.built import Built, Note
from core.concurrent import on_lanes
from core.errors import UserError
from core.learner import Arithmetic, load_weights
from core.machine.environment_facts import usable_cores
from core.machine.probe import Trial, choose_arithmetic
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
    game, options = load_game(config.game), config.game_options()
    anchors = anchor_names(config.anchors)
    threads = config.tree_threads or usable_cores()
    if arithmetic is None:
        probe = choose_arithmetic(config.run, _trial(config, game, options))
        note(str(probe))
        arithmetic = probe.choice
    torch.set_num_threads(arithmetic.threads)
    torch.manual_seed(config.run.seed)  # only now: each trial of the probe draws a network too
    network = build_network(config, game)
    arithmetic.place(network)
    lanes = GameLanes(game, options, config.lanes, threads)
    store = GameStore(game, options, folder, note, threads)
    agent = Zero(config, lanes, store, network, arithmetic, threads)

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
    """The network that the options ask for."""
    return network_for(config, game, config.game_options())


def network_for(config: ZeroConfig, game: Game, options: Any) -> ZeroNetwork:
    """The same network for a board of another size.

    Raises:
        UserError: the network's weights depend on the size, or it cannot take such a board.
    """
    height, width = options.shape
    trained = config.game_options().shape
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
    game, options = load_game(config.game), config.game_options()
    row_bytes = 2 * game.actions(options) + 8
    return [
        f"{parameter_count(build_network(config, game)):,} parameters",
        f"window: {config.window_rows:,} rows, {config.window_rows * row_bytes / 1e6:.0f} MB",
    ]


def parameter_count(network: torch.nn.Module) -> int:
    """Trainable numbers in a network."""
    return sum(p.numel() for p in network.parameters())


def _trial(config: ZeroConfig, game: Game, options: Any) -> Trial:
    """Self-play's forward passes and the update they pay for, on made-up data."""
    batch, actions = config.batch_size, game.actions(options)
    cells = int(np.prod(options.shape))
    rows = Rows(
        np.zeros((batch, game.planes, *options.shape), np.uint8), np.zeros(batch, np.int32),
        np.full((batch, actions), 1 / actions, np.float32), np.zeros(batch, np.float32),
        np.zeros((batch, cells), np.int8), np.zeros(batch, np.int32), np.ones(batch, np.bool_),
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
    """Play the averaged network against anchors and its past; rate everybody together."""
    config, name = agent.config, f"step {agent_steps}"
    games = max(2, config.run.evaluate_episodes // 2 * 2)
    agent.results = [r for r in agent.results if name not in (r["first"], r["second"])]
    agent.pool = [member for member in agent.pool if member["name"] != name]
    own = _side(agent, agent.averaged.state_dict(), games, threads)
    scores: dict[str, float] = {}
    everything: list[float] = []
    played: list[dict[str, Any]] = []
    members = {str(m["name"]): m for m in agent.pool[-POOL_OPPONENTS:]}
    for opponent in [*anchors, *members]:
        game, options = agent.boards.game, agent.boards.options
        if opponent in members:
            side: Any = _side(agent, members[opponent]["weights"], games, threads)
        else:
            side = anchor_side(opponent, game, options, agent_steps)
        results = play_match(game, options, own, side, games, agent_steps, stop)
        if results is None:
            return None
        points = float((results + 1).sum() / 2)
        played.append({"first": name, "second": opponent, "points": points, "games": games})
        scores[opponent] = points / games
        everything += results.astype(float).tolist()
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
    scalars |= {f"score/{key.replace(':', '_')}": scores[key] for key in anchors}
    shares = ", ".join(f"{score:.0%} against {key}" for key, score in scores.items())
    text = f"Elo {elo:.0f} ± {width:.0f} (random is 0): {shares}, {games} games each"
    if gate is not None:
        scalars["gate/score"] = gate
        text += f"; {'new' if gate >= config.gate else 'old'} network for self-play ({gate:.0%})"
    return Assessment(everything, elo, scalars, text)


def pass_gate(
    agent: Zero, newest: Side, games: int, seed: int, stop: Callable[[], bool], threads: int
) -> float | None:
    """Give self-play the averaged network if it beats the one in use; its share of the points.

    None: stopped.
    """
    in_use = _side(agent, agent.played.state_dict(), games, threads)
    game, options = agent.boards.game, agent.boards.options
    results = play_match(game, options, newest, in_use, games, seed, stop)
    if results is None:
        return None
    share = float((results + 1).mean() / 2)
    if share >= agent.config.gate:
        agent.play_averaged()
    return share


def _side(agent: Zero, weights: Mapping[str, Any], games: int, threads: int) -> NetworkSide:
    network = build_network(agent.config, agent.boards.game)
    load_weights(network, weights)
    return NetworkSide(
        agent.boards.game, agent.boards.options, games,
        NetworkEvaluator(network, agent.arithmetic), agent.config.search,
        agent.config.evaluation_simulations, threads,
    )  # fmt: skip
