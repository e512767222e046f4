"""Checkpoints: lossless round trips, and no fault, kill or forgery yields garbage."""

from __future__ import annotations

import math
import random
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as hypothesis_numpy
import hypothesis.strategies as st
import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings

from core.files import atomic, checkpoint
from core.files.checkpoint import CheckpointError

IDENTITY = {"agent": "dqn", "environment": "ALE/Pong-v5"}


def assert_same(left: Any, right: Any) -> None:
    """Compare strictly: type, dtype, shape and every bit; nan equals nan, -0.0 is not 0.0."""
    assert type(left) is type(right)
    if isinstance(left, dict):
        assert list(left) == list(right)
        assert [type(key) for key in left] == [type(key) for key in right]
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    elif isinstance(left, (np.ndarray, torch.Tensor)):
        assert left.dtype == right.dtype and left.shape == right.shape
        if isinstance(left, torch.Tensor):
            left, right = tensor_bits(left), tensor_bits(right)
        assert left.tobytes() == right.tobytes()
    elif isinstance(left, float):
        assert left == right or (math.isnan(left) and math.isnan(right))
        assert math.copysign(1, left) == math.copysign(1, right) or math.isnan(left)
    else:
        assert left == right


def tensor_bits(tensor: torch.Tensor) -> np.ndarray:
    return (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


NUMPY_DTYPES = st.sampled_from(list("?bBhHiIlLefd")).map(np.dtype)
SHAPES = hypothesis_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
ARRAYS = hypothesis_numpy.arrays(NUMPY_DTYPES, SHAPES)
TENSORS = ARRAYS.map(lambda array: torch.from_numpy(array.copy()))
BFLOATS = hypothesis_numpy.arrays(np.float32, SHAPES).map(lambda a: torch.from_numpy(a).bfloat16())
STORED = st.one_of(ARRAYS, TENSORS, BFLOATS)
NON_CONTIGUOUS = st.one_of(
    ARRAYS.map(np.transpose),
    ARRAYS.filter(lambda array: array.ndim > 0).map(lambda array: array[::-2]),
    TENSORS.map(lambda tensor: tensor.permute(list(reversed(range(tensor.ndim))))),
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-(2**130), 2**130), st.floats(), st.text()
)
KEYS = st.one_of(
    st.text(max_size=5),
    st.integers(-(2**70), 2**70),
    st.sampled_from(["a", "a/b", "b", 1, "1", "", "..", "/etc", "$int", "__metadata__", "a~2"]),
)
TREES = st.recursive(
    st.one_of(SCALARS, STORED, NON_CONTIGUOUS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
    ),
    max_leaves=8,
)
STATES = st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), TREES, max_size=3)


@settings(max_examples=100)
@given(STATES)
def test_any_state_comes_back_exactly(state: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = checkpoint.save(Path(folder), 7, state, identity=IDENTITY)
        loaded = checkpoint.load(Path(folder))
        assert (loaded.path, loaded.step, loaded.identity) == (path, 7, IDENTITY)
        assert_same(loaded.state, state)
        for part in state:
            assert_same(checkpoint.load(path, keys=[part]).state, {part: state[part]})


def small_state(value: int = 1) -> dict[str, Any]:
    """A state whose every part depends on `value`, so that a mixture of two is noticed."""
    return {
        "network": {"weight": torch.full((2, 3), value / 3), "mask": np.array([True, value > 1])},
        "rng": {"state": 2**127 + value, "scores": [math.inf, float(value)]},
    }


def test_the_reference_library_reads_the_tensors(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    network[0].half()
    state = {"network": network.state_dict()}
    path = checkpoint.save(tmp_path, 1, state, identity={})
    read = safetensors.torch.load_file(path / "network.safetensors")
    assert_same(dict(sorted(read.items())), dict(sorted(network.state_dict().items())))


def test_optimiser_continues_exactly(tmp_path: Path) -> None:
    def step(weight: torch.Tensor, optimiser: torch.optim.Optimizer) -> None:
        optimiser.zero_grad()
        torch.autograd.backward((weight**3).sum())
        optimiser.step()

    weight = torch.ones(4, requires_grad=True)
    optimiser = torch.optim.Adam([weight], lr=0.1)
    step(weight, optimiser)
    state = {"weight": weight, "optimiser": optimiser.state_dict()}
    checkpoint.save(tmp_path, 1, state, identity={})
    loaded = checkpoint.load(tmp_path).state
    other = loaded["weight"].requires_grad_()
    restored = torch.optim.Adam([other], lr=0.5)
    restored.load_state_dict(loaded["optimiser"])
    step(weight, optimiser)
    step(other, restored)
    assert torch.equal(weight, other)


@pytest.mark.parametrize(
    "leaf", [b"bytes", {1, 2}, np.array(["text"]), np.array([None]), 1j, torch.nn.ReLU(), {None: 1}]
)
def test_what_cannot_be_stored_is_refused_before_writing(tmp_path: Path, leaf: Any) -> None:
    with pytest.raises(TypeError, match="network/deep"):
        checkpoint.save(tmp_path / "new", 1, {"network": {"deep": leaf}}, identity={})
    assert not (tmp_path / "new").exists()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_newest_and_best_stay(tmp_path: Path) -> None:
    scores = [3.0, 9.0, None, 5.0, math.nan, 9.0]
    for step, score in enumerate(scores):
        checkpoint.save(tmp_path, step, small_state(step), identity={}, best_score=score)
    kept = [f"step_{step:09d}" for step in (1, 4, 5)]
    assert names(tmp_path) == kept
    assert checkpoint.best(tmp_path) == tmp_path / kept[0]
    assert checkpoint.newest(tmp_path) == tmp_path / kept[2]


def test_going_back_to_an_earlier_step_and_saving_a_step_again(tmp_path: Path) -> None:
    for step in (100, 200, 50, 50, 50):
        path = checkpoint.save(tmp_path, step, small_state(step), identity={})
        assert checkpoint.load(tmp_path).path == path
        assert_same(checkpoint.load(tmp_path).state, small_state(step))
    assert names(tmp_path) == ["step_000000050-3", "step_000000200"]


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A run's folder with the checkpoints of steps 1 and 2."""
    for step in (1, 2):
        state = small_state(step)
        checkpoint.save(tmp_path / "checkpoints", step, state, identity=IDENTITY, best_score=step)
    return tmp_path


def test_every_truncation_and_bit_flip_is_noticed(two: Path) -> None:
    newest = checkpoint.newest(two)
    generator = random.Random(0)
    for file in newest.iterdir():
        content = file.read_bytes()
        for length in range(len(content)):
            damaged = [content[:length]]
            if generator.random() < 0.3:
                flipped = bytearray(content)
                flipped[length] ^= 1 << generator.randrange(8)
                damaged.append(bytes(flipped))
            for variant in damaged:
                file.write_bytes(variant)
                with pytest.raises(CheckpointError):
                    checkpoint.load(newest)
        file.write_bytes(content + b"\0")
        with pytest.raises(CheckpointError):
            checkpoint.load(newest)
        file.write_bytes(content)
    checkpoint.load(newest)


def test_what_is_damaged_is_set_aside_by_the_next_save(tmp_path: Path) -> None:
    for step in (1, 2):
        checkpoint.save(tmp_path, step, {"network": {}}, identity={}, keep=2)
    (tmp_path / "step_000000001" / "MANIFEST.json").write_text("damaged", "utf-8")
    checkpoint.save(tmp_path, 3, {"network": {}}, identity={}, keep=2)
    assert checkpoint.load(tmp_path).step == 3
    assert [path.name[:23] for path in tmp_path.glob("damaged-*")] == ["damaged-step_000000001-"]


def test_a_damaged_newest_is_refused_and_the_good_one_named(two: Path) -> None:
    newest = checkpoint.newest(two)
    (newest / "network.safetensors").write_bytes(b"")
    for path in (two, two / "checkpoints", newest):
        with pytest.raises(CheckpointError) as error:
            checkpoint.load(path)
        message = str(error.value)
        assert str(newest) in message and "network.safetensors has 0 bytes" in message
        assert "--checkpoint step_000000001" in message and "\n" not in message
    checkpoint.load(two, keys=["rng"])
    (newest / "network.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"network\.safetensors: No such file"):
        checkpoint.load(two)
    atomic.remove(newest)
    with pytest.raises(CheckpointError, match="no such folder; did you mean 'step_000000001'"):
        checkpoint.load(newest)
    (two / "checkpoints/step_000000001/MANIFEST.json").unlink()
    with pytest.raises(CheckpointError, match="no other good checkpoint"):
        checkpoint.load(two)
