"""What a search says of itself: a fair comparison is by the time that scoring took."""

from __future__ import annotations

import pytest

from agents.nas.evaluator import Result
from agents.nas.history import History, children_table
from agents.nas.journal import Scored
from agents.nas.report import search_picture
from agents.nas.reward import Reward
from envs.architecture.space import key
from tests.agents.nas_worlds import TinySpace


def history(children: list[tuple[float, float, bool]]) -> History:
    """Of scores, seconds, and whether random search asked."""
    made = History(Reward(failure=0.0))
    for number, (score, seconds, rival) in enumerate(children):
        result = Result("ok", {"score": score, "parameters": 100.0 * (number + 1)}, seconds)
        made.add(Scored(number, (number,), result, rival=rival), (number,))
    return made


OWN = [(0.5, 10.0, False), (0.7, 30.0, False), (0.9, 40.0, False)]
RANDOM = [(0.6, 10.0, True), (0.4, 10.0, True), (0.8, 25.0, True)]


def test_equal_time_leaves_out_what_the_slower_search_found_later() -> None:
    # Random search ends after 45 s; by then two of ours were scored.
    assert numbers(OWN + RANDOM) == (45.0, 1, 5)
    # And the other way: ours end after 40 s, when random search has two.
    assert numbers(OWN[:2] + RANDOM) == (40.0, 1, 2)
    assert search_picture(history(OWN + RANDOM), "controller").ndim == 3


def numbers(children: list[tuple[float, float, bool]]) -> tuple[float, int, int]:
    """The time, and the numbers of the two best."""
    found = history(children).at_equal_time()
    assert found is not None
    return found[0], found[1].number, found[2].number


@pytest.mark.parametrize(
    "children",
    [OWN, RANDOM, [(0.5, 0.0, False), (0.6, 0.0, True)], [(0.5, 9.0, False), (0.6, 3.0, True)]],
    ids=["no rival", "no searcher", "no time", "the first is longer than all of the other"],
)
def test_where_times_cannot_be_compared_nothing_is_said(
    children: list[tuple[float, float, bool]],
) -> None:
    assert history(children).at_equal_time() is None


def test_what_a_side_had_before_took_no_time_and_what_the_other_had_does() -> None:
    made = history(OWN[:1])
    result = made.own[0].result
    made.add(Scored(1, (0,), result, cached=True), (0,))
    made.add(Scored(2, (0,), result, cached=True, rival=True), (0,))
    made.add(Scored(3, (0,), result, cached=True, rival=True), (0,))
    made.add(Scored(4, (0,), result), (0,))  # scored anew
    assert made.spent(made.own).tolist() == [10.0, 10.0, 20.0]
    assert made.spent(made.rivals).tolist() == [10.0, 10.0]


def test_the_table_has_a_row_for_each_child_the_newest_first() -> None:
    reward, space = Reward(failure=-1.0), TinySpace()
    children = [
        Scored(4, (0, 1, 2), Result("ok", {"score": 0.5, "parameters": 123456.0}, 2.0)),
        Scored(5, (0, 1, 3), Result("out of time", {}, 60.0, "over 60 seconds")),
        Scored(6, (0, 1, 2), Result("ok", {"score": 0.5, "parameters": 12.0}, 2.0), cached=True),
    ]
    head, rule, *rows = children_table(space, children, reward).splitlines()
    assert head == "| child | design | status | reward | score | parameters | seconds |"
    assert rule == "| --- | --- | --- | --- | --- | --- | --- |"
    same, other = (key(space.design((0, 1, last))) for last in (2, 3))
    assert rows == [
        f"| 6 | {same} | ok | 0.5 | 0.5 | 12 | known |",
        f"| 5 | {other} | out of time | -1 |  |  | 60.0 |",
        f"| 4 | {same} | ok | 0.5 | 0.5 | 123,456 | 2.0 |",
    ]
