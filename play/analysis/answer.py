"""What KataGo would say of a position: by default as Black sees it."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from envs.games.session import Session
from play.analysis.query import AnalysisQuery
from play.candidates import Candidate, Estimate, candidates, estimate_of
from play.gtp.board import GtpBoard
from search.player import Judgement

_MOVES_WITH_OWNERSHIP = 10


def without_results(query: AnalysisQuery, turn: int) -> dict[str, Any]:
    """The answer for a turn that was not searched at all."""
    return {"id": query.id, "isDuringSearch": False, "noResults": True, "turnNumber": turn}


def answer_of(
    query: AnalysisQuery,
    turn: int,
    board: GtpBoard,
    judgement: Judgement,
    estimate: Estimate,
    during: bool = False,
    hurried: bool = False,
) -> dict[str, Any]:
    """One answer; `during`: the search goes on; `hurried`: without what takes time."""
    session = board.session
    if not judgement.visits.any():
        return without_results(query, turn)
    turned = _turned(query, session)
    found = candidates(judgement, estimate)
    answer: dict[str, Any] = {
        "id": query.id,
        "isDuringSearch": during,
        "turnNumber": turn,
        "moveInfos": [
            _move_info(query, session, candidate, rank, turned)
            for rank, candidate in enumerate(found)
        ],
        "rootInfo": {
            "currentPlayer": "BW"[session.to_move],
            "visits": int(judgement.visits.sum()),
            "thisHash": _hash_of(session),
            **_values(turned, judgement.win_rate, estimate.lead, estimate.spread),
        },
    }
    if "includeOwnership" in query.include:
        answer["ownership"] = _rounded(turned * estimate.owners)
    if "includeOwnershipStdev" in query.include:
        answer["ownershipStdev"] = _rounded(estimate.spreads)
    if "includeMovesOwnership" in query.include and not hurried:
        for info, candidate in zip(
            answer["moveInfos"][:_MOVES_WITH_OWNERSHIP], found, strict=False
        ):
            info["ownership"] = _rounded(-turned * _after(board, candidate.action).owners)
    if "includePolicy" in query.include:
        mask = session.legal_mask()
        shares = judgement.visits / max(1, judgement.visits.sum())
        policy = shares if judgement.priors is None else judgement.priors
        pairs = zip(policy, mask, strict=True)
        answer["policy"] = [float(share) if legal else -1.0 for share, legal in pairs]
    return answer


def _turned(query: AnalysisQuery, session: Session) -> int:
    """1 where the player to move is the one whose view is reported, else -1."""
    if query.view == "SIDETOMOVE":
        return 1
    return 1 if (session.to_move == 0) == (query.view == "BLACK") else -1


def _values(turned: int, rate: float, lead: float, spread: float) -> dict[str, float]:
    """What is said alike of the position and of each move; rate and lead of the player to move."""
    seen, points = (rate if turned > 0 else 1 - rate), turned * lead
    return {
        "winrate": seen, "utility": 2 * seen - 1, "scoreLead": points, "scoreMean": points,
        "scoreSelfplay": points, "scoreStdev": spread,
    }  # fmt: skip


def _move_info(
    query: AnalysisQuery, session: Session, candidate: Candidate, rank: int, turned: int
) -> dict[str, Any]:
    lower = candidate.lower if turned > 0 else 1 - candidate.lower
    line = candidate.line[: query.line_length + 1]
    info = {
        "move": session.name_of(candidate.action), "order": rank, "visits": candidate.visits,
        "edgeVisits": candidate.visits, "prior": candidate.prior, "lcb": lower,
        "utilityLcb": 2 * lower - 1, **_values(turned, candidate.rate, candidate.lead, 0.0),
        "pv": [session.name_of(action) for action, _ in line],
    }  # fmt: skip
    del info["scoreStdev"]
    if "includePVVisits" in query.include:
        info["pvVisits"] = info["pvEdgeVisits"] = [visits for _, visits in line]
    return info


def _after(board: GtpBoard, action: int) -> Estimate:
    """Who will own what after a move, as the other player sees it."""
    after = Session(board.session.game, board.options, board.session.state)
    after.play(action)
    return estimate_of(after)


def _hash_of(session: Session) -> str:
    """A name for stones and whose turn it is."""
    text = session.cells().tobytes() + bytes([session.to_move])
    return hashlib.sha256(text).hexdigest()[:32].upper()


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]
