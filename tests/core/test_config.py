"""Options: TOML round trips, strictness, precedence, and what a resume may change."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import (
    Bounds,
    ConfigError,
    RunConfig,
    check,
    field_bounds,
    field_docs,
    free,
    from_toml,
    leaf_types,
    locked,
    resolve,
    resume_changes,
    to_toml,
    warn,
)
from core.errors import UserError


@dataclass(frozen=True)
class Inner:
    """A table."""

    colour: Literal["red", "green"] = warn("red")
    """One of two."""
    rate: float = warn(0.5)
    """Help with "quotes", a \\ backslash
    and a second line."""


@dataclass(frozen=True)
class Outer:
    """A config with every type of field."""

    size: int = locked(3, at_least=1)
    name: str = free("a")
    strict: bool = free(True)
    inner: Inner = field(default_factory=Inner)
    run: RunConfig = field(default_factory=RunConfig)

    def validate(self) -> None:
        """Two options that do not go together."""
        if self.size == 7 and not self.strict:
            raise UserError("--size 7 is --strict")


finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    st.integers(min_value=1), texts, st.booleans(), st.sampled_from(["red", "green"]), finite
)  # fmt: skip
def test_toml_round_trip(size: int, name: str, strict: bool, colour: Any, rate: float) -> None:
    config = Outer(size, name, strict, Inner(colour, rate))
    text = to_toml(config)
    read = from_toml(Outer, text, "file")
    assert read == config and repr(read) == repr(config)
    # An independent reader sees the same values.
    tree = tomllib.loads(text)
    assert tree.pop("schema_version") == 2
    assert tree == dataclasses.asdict(config)


@given(texts)
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        from_toml(Outer, text, "some.toml")
    except ConfigError as error:
        assert "some.toml" in str(error) and "\n" not in str(error)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("sise = 4", ["'sise'", "did you mean 'size'"]),
        ("[inner]\nrat = 4.0", ["'inner.rat'", "did you mean 'rate'"]),
        ("seed = 4", ["'seed' belongs under [run]"]),
        ("total_steps = 4", ["it is 'run.total_steps'", "'total_steps' belongs under [run]"]),
        ("colour = 'red'", ["it is 'inner.colour'"]),
        ("run.sede = 4", ["'run.sede'", "did you mean 'seed'"]),
        ("size = 4.0", ["'size'", "a whole number", "4.0"]),
        ("size = true", ["'size'", "a whole number"]),
        ("strict = 1", ["'strict'", "true or false"]),
        ("name = 3", ["'name'", "a text"]),
        ("name = 1979-05-27", ["'name'", "a text"]),
        ("inner = 3", ["'inner' is a table"]),
        ("[size]", ["'size'", "a whole number"]),
        ('[inner]\ncolour = "gren"', ["'inner.colour'", "red, green", "did you mean 'green'"]),
        ("[inner]\ncolour = [1]", ["'inner.colour'", "red, green"]),
        ("[inner]\nrate = nan", ["'inner.rate'", "finite"]),
        ("[inner]\nrate = 1" + 400 * "0", ["'inner.rate'", "a number"]),
        ("size = 9" + 5000 * "9", ["not valid TOML"]),
        ("size = 0", ["--size must be at least 1, got 0"]),
        ("size 3", ["not valid TOML", "line 1"]),
        ("schema_version = 3", ["schema_version 3"]),
        ("schema_version = true", ["schema_version True"]),
    ],
)
def test_errors_name_file_key_and_way_out(text: str, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        from_toml(Outer, text, "some.toml")
    for part in ["some.toml", *parts]:
        assert part in str(caught.value)


def test_a_byte_order_mark_is_no_option(tmp_path: Path) -> None:
    file = tmp_path / "notepad.toml"
    file.write_text("size = 30", encoding="utf-8-sig")
    assert resolve(Outer, file=file).size == 30


def test_a_whole_number_is_a_number() -> None:
    read = from_toml(Outer, "[inner]\nrate = 2", "file").inner.rate
    assert read == 2.0 and type(read) is float


def test_file_over_preset_over_default(tmp_path: Path) -> None:
    file = tmp_path / "some.toml"
    file.write_text("size = 30\n[run]\nseed = 30")
    preset = {"size": 20, "run": {"seed": 20, "threads": 20}}
    config = resolve(Outer, preset, file)
    assert (config.size, config.run.seed, config.run.threads) == (30, 30, 20)
    assert config.run.total_steps == RunConfig().total_steps
    assert resolve(Outer) == Outer()


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b'name = "\xe9"')
    with (tmp_path / "large").open("wb") as file:
        file.truncate(10**7)
    for name, reason in [("absent", "cannot read"), ("latin", "cannot read"), ("large", "larger")]:
        with pytest.raises(ConfigError, match=reason):
            resolve(Outer, file=tmp_path / name)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Outer(size=0), "--size must be at least 1, got 0"),
        (Outer(size=7, strict=False), "--size 7 is --strict"),
        (Outer(run=RunConfig(total_steps=0)), "--total-steps must be at least 1, got 0"),
        (Outer(run=RunConfig(log_seconds=0.0)), "--log-seconds must be over 0, got 0.0"),
        (Outer(run=RunConfig(log_seconds=float("nan"))), "--log-seconds must be a finite number"),
        (Outer(inner=Inner(rate=float("inf"))), "--rate must be a finite number"),
    ],
)
def test_check_looks_into_every_table(config: Outer, message: str) -> None:
    check(Outer())
    with pytest.raises(UserError, match=message):
        check(config)


def test_bounds_are_part_of_the_field() -> None:
    assert field_bounds(Outer) == {"size": Bounds(at_least=1)}
    assert field_bounds(RunConfig)["seed"] == Bounds(at_least=0, under=2**63)
    share = Bounds(over=0, at_most=1, also=-1)
    assert str(share) == "over 0 and at most 1, or -1"
    assert [n in share for n in (0, 0.5, 1, 1.5, -1, -0.5, float("nan"))] == [
        False, True, True, False, True, False, False,
    ]  # fmt: skip
    with pytest.raises(TypeError, match="at_lest"):
        locked(1, at_lest=0)


def test_what_a_resume_may_change() -> None:
    old = Outer()
    freely = dataclasses.replace(old, name="b", run=RunConfig(total_steps=5, device="cpu"))
    assert resume_changes(old, freely) == []
    aloud = dataclasses.replace(freely, inner=Inner(rate=0.25))
    assert resume_changes(old, aloud) == ["--rate from 0.5 to 0.25"]
    barred = dataclasses.replace(aloud, size=4, run=RunConfig(seed=2))
    with pytest.raises(ConfigError) as caught:
        resume_changes(old, barred)
    for part in ("--size from 3 to 4", "--seed from 1 to 2", "start a new run"):
        assert part in str(caught.value)
    assert "--rate" not in str(caught.value)


def test_leaves_and_docs() -> None:
    assert leaf_types(Outer)["rate"] is float and "inner" not in leaf_types(Outer)
    assert field_docs(Inner)["rate"] == 'Help with "quotes", a \\ backslash and a second line.'
    assert set(field_docs(RunConfig)) == set(leaf_types(RunConfig))
