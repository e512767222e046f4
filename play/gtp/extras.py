"""What clients ask for besides the standard: KGS, GoGui, Sabaki, Kigo, qGo, q5Go, LizzieYZY."""

from __future__ import annotations

import os
import time

import numpy as np

from core.machine.random_numbers import random_state
from envs.games.go import rules
from envs.games.go.board import BLACK_PRISONERS, WHITE_PRISONERS, chain_liberties, point_of
from envs.games.go.board import cell_of as cell_of_point
from envs.games.go.estimate import dead_cells, estimate_ownership
from envs.games.notation import cell_name
from play.candidates import estimate_of
from play.gtp.analysis import ANALYSIS
from play.gtp.files import FILES
from play.gtp.protocol import SYNTAX, Command, GtpError, colour, integer
from play.gtp.server import GtpServer, Handler
from play.gtp.settings import SETTINGS
from play.gtp.standard import (
    STANDARD,
    dead_stones,
    decide,
    move_name,
    reg_genmove,
    think,
    vertices,
    wanted,
)
from search.player import RESIGN, Limits

_ESTIMATE_PLAYOUTS = 500


def kgs_genmove_cleanup(server: GtpServer, command: Command) -> str:
    """Choose a move, but no pass while the other side's dead stones are on the board."""
    player = colour(wanted(command, 1)[0])
    judgement = decide(server, player)
    action, passing = judgement.action, server.board.size**2
    cells = server.board.session.cells().ravel()
    if action == passing and any(
        cells[cell] == 2 - player for cell in dead_cells(server.board.session.state)
    ):
        visits = judgement.visits.copy()
        visits[passing] = -1
        mask = server.board.turned_to(player).legal_mask()
        visits[mask == 0] = -1
        if visits.max() >= 0:
            action = int(np.argmax(visits))
    if action == RESIGN:
        return "resign"
    server.board.play_action(player, action)
    return move_name(server, action)


def undo_several(server: GtpServer, command: Command) -> str:
    """GoGui: take back so many moves, or none if there are fewer."""
    count = integer((*command.arguments, "1")[0], 1, 10_000)
    if count > len(server.board.session.actions):
        raise GtpError("cannot undo")
    for _ in range(count):
        server.board.undo()
    return ""


def play_sequence(server: GtpServer, command: Command) -> str:
    """GoGui: colour and vertex, again and again; all or none are played."""
    words = command.arguments
    if len(words) % 2:
        raise GtpError(SYNTAX)
    done = 0
    try:
        for who, vertex in zip(words[::2], words[1::2], strict=True):
            server.board.play(colour(who), vertex)
            done += 1
    except GtpError:
        for _ in range(done):
            server.board.undo()
        raise
    return ""


def gogui_setup(server: GtpServer, command: Command) -> str:
    """GoGui: start from given stones, colour and vertex, again and again."""
    words = command.arguments
    if len(words) % 2:
        raise GtpError(SYNTAX)
    board = np.zeros((server.board.size, server.board.size), np.int8)
    for who, vertex in zip(words[::2], words[1::2], strict=True):
        cell = server.board.session.action_of(vertex)
        if cell == server.board.size**2:
            raise GtpError(SYNTAX)
        board.flat[cell] = colour(who) + 1
    server.board.set_position(board, 0)
    return ""


def set_position(server: GtpServer, command: Command) -> str:
    """KataGo: start from given stones, each vertex once; without any, clear the board."""
    vertices_named = [word.upper() for word in command.arguments[1::2]]
    if len(set(vertices_named)) != len(vertices_named):
        raise GtpError("a vertex is named twice")
    return gogui_setup(server, command)


def setup_player(server: GtpServer, command: Command) -> str:
    """GoGui: whose turn it is."""
    rules.give_turn(server.board.session.state, colour(wanted(command, 1)[0]))
    return ""


def list_stones(server: GtpServer, command: Command) -> str:
    """Stones of a colour."""
    cells = server.board.session.cells().ravel()
    who = colour(wanted(command, 1)[0])
    return vertices(server, [int(cell) for cell in np.flatnonzero(cells == who + 1)])


def captures(server: GtpServer, command: Command) -> str:
    """Number of stones that a colour has captured."""
    prisoners = (WHITE_PRISONERS, BLACK_PRISONERS)[colour(wanted(command, 1)[0])]
    return str(int(server.board.session.state[prisoners]))


def is_legal(server: GtpServer, command: Command) -> str:
    """1 if a colour may play there, else 0."""
    who, vertex = wanted(command, 2)
    session = server.board.turned_to(colour(who))
    return str(int(session.legal_mask()[session.action_of(vertex)]))


def all_legal(server: GtpServer, command: Command) -> str:
    """Points where a colour may play."""
    mask = server.board.turned_to(colour(wanted(command, 1)[0])).legal_mask()
    return vertices(server, [int(cell) for cell in np.flatnonzero(mask[:-1])])


def find_liberties(server: GtpServer, command: Command) -> str:
    """Liberties of the chain at a vertex."""
    board = server.board
    cell = board.session.action_of(wanted(command, 1)[0])
    if cell == board.size**2 or not board.session.cells().flat[cell]:
        raise GtpError("vertex is empty")
    out = np.zeros(board.size**2, np.int32)
    count = chain_liberties(board.session.state, point_of(board.size, cell), out)
    return vertices(server, sorted(int(cell_of_point(board.size, int(p))) for p in out[:count]))


def countlib(server: GtpServer, command: Command) -> str:
    """Number of liberties of the chain at a vertex."""
    return str(len(find_liberties(server, command).split()))


def final_status(server: GtpServer, command: Command) -> str:
    """Status of one vertex."""
    board = server.board
    cell = board.session.action_of(wanted(command, 1)[0])
    if cell == board.size**2:
        raise GtpError(SYNTAX)
    dead = dead_stones(server)
    if board.session.cells().flat[cell]:
        return "dead" if cell in dead else "alive"
    return ("dame", "black_territory", "white_territory")[board.owners(dead).flat[cell]]


def estimate_score(server: GtpServer, command: Command) -> str:
    """The score that random playouts expect."""
    means = np.zeros(server.board.size**2)
    state = server.board.session.state
    estimate_ownership(state, random_state(0)[0], _ESTIMATE_PLAYOUTS, means)
    margin = round(float(means.sum()) - server.board.options.compensation, 1)
    return f"{'B' if margin > 0 else 'W'}+{abs(margin):g}" if margin else "0"


def top_moves(player: int) -> Handler:
    """Make a command that lists good moves with their weights."""

    def handler(server: GtpServer, command: Command) -> str:
        judgement = think(server, player)
        order = [int(a) for a in np.argsort(-judgement.visits, kind="stable")[:10]]
        cells = [a for a in order if judgement.visits[a] > 0 and a < server.board.size**2]
        size = server.board.size
        return " ".join(f"{cell_name(a, size, size)} {int(judgement.visits[a])}" for a in cells)

    return handler


def move_history(server: GtpServer, command: Command) -> str:
    """The moves so far, the newest first."""
    session = server.board.session
    names = [f"{('black', 'white')[p]} {session.name_of(a)}" for p, a in reversed(session.actions)]
    return "\n".join(names)


def gogui_analyze_commands(server: GtpServer, command: Command) -> str:
    """What GoGui's menu offers."""
    return "\n".join(
        (
            "dboard/Expected owner/tengen-ownership",
            "dboard/Visits/tengen-visits",
            "string/Estimated score/estimate_score",
            "plist/Dead stones/final_status_list dead",
            "plist/Legal moves/all_legal %c",
            "string/Rules/kata-get-rules",
        )
    )


def _number_board(values: np.ndarray) -> str:
    """Numbers row by row."""
    return "\n" + "\n".join(" ".join(f"{value:.2f}" for value in row) for row in values)


def ownership_board(server: GtpServer, command: Command) -> str:
    """Expected owner of each point, 1 Black to -1 White."""
    size = server.board.size
    means = np.zeros(size * size)
    state = server.board.session.state
    estimate_ownership(state, random_state(0)[0], _ESTIMATE_PLAYOUTS, means)
    return _number_board(means.reshape(size, size))


def visits_board(server: GtpServer, command: Command) -> str:
    """Share of visits of each point."""
    judgement = think(server, server.board.session.to_move)
    size = server.board.size
    shares = judgement.visits[:-1] / max(1, judgement.visits.max())
    return _number_board(shares.reshape(size, size))


def raw_network(server: GtpServer, command: Command) -> str:
    """KataGo: what the network says before any search, seen once, whatever the symmetry."""
    words = list(command.arguments)
    player = server.board.session.to_move
    if words and not words[0].isdecimal() and words[0].lower() != "all":
        player = colour(words.pop(0))
    if not words or (words[0].lower() != "all" and integer(words[0], 0, 7) < 0):
        raise GtpError(SYNTAX)
    session = server.board.turned_to(player)
    judgement = server.player.judge(session, Limits(playouts=1))
    if judgement.priors is None or judgement.ownership is None:
        raise GtpError(f"{server.player.name} has no network")
    white = 2 * player - 1
    estimate = estimate_of(session, judgement)
    chance = judgement.win_rate if player else 1 - judgement.win_rate
    legal = session.legal_mask()
    policy = [f"{p:.6f}" if ok else "NAN" for p, ok in zip(judgement.priors, legal, strict=True)]
    owners = " ".join(f"{white * value:.4f}" for value in estimate.owners)
    return (
        f"symmetry 0\nwhiteWin {chance:.6f}\nwhiteLoss {1 - chance:.6f}\nnoResult 0.000000\n"
        f"whiteLead {white * estimate.lead:.3f}\npolicy {' '.join(policy[:-1])}\n"
        f"policyPass {policy[-1]}\nwhiteOwnership {owners}"
    )


def query_komi(server: GtpServer, command: Command) -> str:
    """Komi as it stands."""
    return f"{server.board.options.komi:g}"


def nothing(server: GtpServer, command: Command) -> str:
    """Accepted; there is nothing to do."""
    return ""


EXTRAS: dict[str, Handler] = {
    "kgs-genmove_cleanup": kgs_genmove_cleanup,
    "kgs-game_over": nothing,
    "kgs-chat": lambda server, command: "Tengen plays; it does not talk.",
    "gg-undo": undo_several,
    "gogui-play_sequence": play_sequence,
    "gogui-setup": gogui_setup,
    "set_position": set_position,
    "kata-raw-nn": raw_network,
    "kata-search": reg_genmove,
    "kata-get-models": lambda server, command: "[]",
    "gogui-setup_player": setup_player,
    "gogui-analyze_commands": gogui_analyze_commands,
    "gogui-interrupt": nothing,
    "gogui-sigint": lambda server, command: str(os.getpid()),
    "tengen-ownership": ownership_board,
    "tengen-visits": visits_board,
    "list_stones": list_stones,
    "captures": captures,
    "is_legal": is_legal,
    "all_legal": all_legal,
    "findlib": find_liberties,
    "countlib": countlib,
    "final_status": final_status,
    "estimate_score": estimate_score,
    "top_moves_black": top_moves(0),
    "top_moves_white": top_moves(1),
    "move_history": move_history,
    "query_boardsize": lambda server, command: str(server.board.size),
    "get_komi": query_komi,
    "get_handicap": lambda server, command: str(server.board.options.handicap),
    "level": nothing,
    "clear_cache": nothing,
    "stop": nothing,
    "gomill-cpu_time": lambda server, command: f"{time.process_time():.3f}",
    "cputime": lambda server, command: f"{time.process_time():.3f}",
}

COMMANDS: dict[str, Handler] = {**STANDARD, **ANALYSIS, **FILES, **SETTINGS, **EXTRAS}
