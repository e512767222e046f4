"""The Q-learning update against loops over single transitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from agents.dqn.losses import greedy_action, td_loss, td_target

NUMBER = st.floats(-10, 10, width=32)


@st.composite
def batches(draw: st.DrawFn) -> dict[str, Any]:
    size, actions = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    values = hnp.arrays(np.float32, (size, actions), elements=NUMBER)
    vector = hnp.arrays(np.float32, size, elements=NUMBER)
    return {
        "reward": draw(vector),
        "discount": draw(hnp.arrays(np.float32, size, elements=st.sampled_from([0.0, 0.9, 1.0]))),
        "q_target_t": draw(values),
        "q_online_t": draw(values),
        "q_tm1": draw(values),
        "action": draw(hnp.arrays(np.int64, size, elements=st.integers(0, actions - 1))),
    }


def slow_target(batch: dict[str, Any], row: int, double: bool) -> float:
    values = [float(q) for q in batch["q_target_t"][row]]
    if double:
        online = [float(q) for q in batch["q_online_t"][row]]
        next_value = values[online.index(max(online))]
    else:
        next_value = max(values)
    return float(batch["reward"][row]) + float(batch["discount"][row]) * next_value


@given(batch=batches(), double=st.booleans(), kind=st.sampled_from(["mse", "huber"]))
def test_update_equals_a_loop(batch: dict[str, Any], double: bool, kind: str) -> None:
    tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
    online = tensors["q_online_t"] if double else None
    target = td_target(tensors["reward"], tensors["discount"], tensors["q_target_t"], online)
    rows = range(len(batch["reward"]))
    expected = np.array([slow_target(batch, row, double) for row in rows])
    np.testing.assert_allclose(target.numpy(), expected, rtol=1e-5, atol=1e-5)

    q_tm1 = tensors["q_tm1"].clone().requires_grad_()
    target.requires_grad_()
    loss, error = td_loss(q_tm1, tensors["action"], target, kind)
    loss.backward()  # type: ignore[no-untyped-call]
    assert target.grad is None
    assert not error.requires_grad
    total, gradient = 0.0, np.zeros_like(batch["q_tm1"])
    for row in rows:
        action = batch["action"][row]
        delta = expected[row] - float(batch["q_tm1"][row, action])
        assert error[row].item() == pytest.approx(delta, rel=1e-4, abs=1e-4)
        if kind == "mse":
            total += delta**2 / len(rows)
            gradient[row, action] = -2 * delta / len(rows)
        else:
            total += (delta**2 / 2 if abs(delta) <= 1 else abs(delta) - 0.5) / len(rows)
            gradient[row, action] = -max(-1.0, min(1.0, delta)) / len(rows)
    assert loss.item() == pytest.approx(total, rel=1e-4, abs=1e-4)
    assert q_tm1.grad is not None
    np.testing.assert_allclose(q_tm1.grad.numpy(), gradient, rtol=1e-4, atol=1e-4)


def test_a_terminal_transition_ignores_what_follows() -> None:
    """Even an overflowed value would have to be multiplied by zero: only finite ones occur."""
    target = td_target(torch.tensor([2.0]), torch.tensor([0.0]), torch.tensor([[1e30, -1e30]]))
    assert target.tolist() == [2.0]


def test_double_chooses_online_and_values_by_target() -> None:
    q_target, q_online = torch.tensor([[1.0, 5.0]]), torch.tensor([[9.0, 2.0]])
    one = torch.ones(1)
    assert td_target(one, one / 2, q_target).tolist() == [3.5]
    assert td_target(one, one / 2, q_target, q_online).tolist() == [1.5]


def test_greedy_takes_the_first_of_equals() -> None:
    assert greedy_action(torch.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])).tolist() == [1, 0]
