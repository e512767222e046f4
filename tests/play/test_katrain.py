"""What KaTrain sends, and what it is answered: a golden file."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from envs.games.session import Session
from play.analysis.engine import AnalysisEngine
from search.player import Judgement, Limits, RandomPlayer, Watcher

COMMON: dict[str, Any] = {
    "rules": "japanese", "priority": 1, "maxVisits": 500, "komi": 6.5, "boardXSize": 5,
    "boardYSize": 5, "includeOwnership": True, "includeMovesOwnership": True,
    "includePolicy": True, "initialStones": [], "initialPlayer": "B",
    "overrideSettings": {
        "reportAnalysisWinratesAs": "BLACK", "wideRootNoise": 0.04, "maxTime": 8.0,
    },
}  # fmt: skip
OUTSIDE = [f"{c}{r}" for c in "ABCDE" for r in range(1, 6) if f"{c}{r}" not in ("D3", "D4")]
KATRAIN: list[dict[str, Any]] = [
    # Start-up, a move, alternatives to what was found, a region of interest, the sweep of a move
    # that was not played, a handicap game, and the end of a query that is done.
    {**COMMON, "id": "QUERY:1", "analyzeTurns": [0], "moves": []},
    {**COMMON, "id": "QUERY:2", "analyzeTurns": [1], "moves": [["B", "C3"]]},
    {**COMMON, "id": "QUERY:3", "analyzeTurns": [1], "moves": [["B", "C3"]],
     "avoidMoves": [{"moves": ["A5", "B5"], "player": "W", "untilDepth": 1}]},
    {**COMMON, "id": "QUERY:4", "analyzeTurns": [1], "moves": [["B", "C3"]],
     "avoidMoves": [{"moves": OUTSIDE, "player": p, "untilDepth": 1} for p in "BW"]},
    {**COMMON, "id": "QUERY:5", "analyzeTurns": [2], "moves": [["B", "C3"], ["W", "D4"]],
     "maxVisits": 25, "includeOwnership": False, "includeMovesOwnership": False, "priority": -899},
    {**COMMON, "id": "QUERY:6", "analyzeTurns": [0], "moves": [], "rules": "chinese",
     "initialStones": [["B", "B2"], ["B", "D4"]], "initialPlayer": "W"},
    {"action": "terminate", "terminateId": "QUERY:2", "id": "QUERY:7"},
]  # fmt: skip
GOLDEN = Path(__file__).parent / "golden" / "KaTrain.jsonl"


class FirstAllowed(RandomPlayer):
    """Finds the first point that it may play, so that transcripts are fixed."""

    def judge(
        self, session: Session, limits: Limits | None = None, watch: Watcher | None = None
    ) -> Judgement:
        assert limits is not None
        legal = np.flatnonzero(session.legal_mask()).tolist()
        action = next(a for a in legal if limits.allowed is None or a in limits.allowed)
        visits = np.zeros(26, np.int64)
        visits[action] = limits.playouts or 0
        values = np.where(visits, 0.5, np.nan)
        return Judgement(action, 0.5, visits, values, variation=(action,))


def without_estimates(value: Any, key: str = "") -> Any:
    """What random playouts say changes with them: numbers of points and owners are left out."""
    if key in ("ownership", "policy"):
        return f"{len(value)} numbers"
    if isinstance(value, dict):
        return {name: without_estimates(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_estimates(inner) for inner in value]
    return "points" if key.startswith("score") else value


def katrain_transcript() -> str:
    """Every query with its answers below it."""
    lines = []
    for query in KATRAIN:
        sink, sent = io.StringIO(), json.dumps(query)
        AnalysisEngine(FirstAllowed(), io.BytesIO(sent.encode()), sink).run()
        answers = [json.loads(line) for line in sink.getvalue().splitlines()]
        lines += [sent, *(json.dumps(without_estimates(answer)) for answer in answers)]
    return "\n".join(lines) + "\n"


def test_katrains_queries_are_answered_as_before() -> None:
    # Rewrite after a wanted change: python -m tests.play.test_katrain
    assert katrain_transcript() == GOLDEN.read_text("utf-8")


if __name__ == "__main__":
    GOLDEN.write_text(katrain_transcript(), "utf-8")
