"""The demonstrations of networks: what each computes, in its smallest form."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from commands.study import STUDIES, main
from core.optimisers import build_optimiser
from studies import decoupled_decay, image_study, signal_propagation

TINY = {"train": 40, "test": 20, "epochs": 1, "batch_size": 20}


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """What a study finds on a few digits, twice, of which the second must compute nothing."""

    def of(name: str, **more: Any) -> dict[str, Any]:
        module = importlib.import_module(f"studies.{name.replace('-', '_')}")
        monkeypatch.setattr(module, "task", lambda options, **settings: image_study.task(
            options, **{**settings, **TINY, **more}))  # fmt: skip
        arguments = ["--quick", "--data", "digits", "--processes", "1", "--out", str(tmp_path)]
        texts = []
        for _ in range(2):
            assert main([name, *arguments]) == 0
            texts.append((tmp_path / "results.json").read_text("utf-8"))
            monkeypatch.setattr("studies.training.train", None)
        assert texts[0] == texts[1] and "NaN" not in texts[0]
        assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
        assert "| ---" in (tmp_path / "page.md").read_text("utf-8")
        found: dict[str, Any] = json.loads(texts[0])
        assert found["options"]["data"] == "digits" and "out" not in found["options"]
        return found

    return of


def test_degradation(
    results: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studies.degradation.BLOCKS", {8: 1, 14: 2})
    found = {each["kind"]: each for each in results("degradation", side=6)["trainings"]}
    assert list(found) == ["plain-8", "plain-14", "residual-8", "residual-14"]
    assert found["plain-8"]["parameters"] == found["residual-8"]["parameters"]
    for each in found.values():
        assert each["training"] == [each["error"]] and each["test"] == [each["test_error"]]


def test_highway_depth(results: Callable[..., dict[str, Any]]) -> None:
    found = results("highway-depth")
    assert len(found["trainings"]) == 2 * 4 * 2 and len(found["best"]) == 4
    for row in found["best"]:
        assert row["loss"] == min(each["loss"] for each in found["trainings"]
                                  if (each["kind"], each["depth"]) == (row["kind"], row["depth"])
                                  and each["loss"] is not None)  # fmt: skip


def test_batch_norm_rates(
    results: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studies.batch_norm_rates.TRAINS_FROM", 0.0)
    found = results("batch-norm-rates")
    assert found["highest_rate"] == {"plain, without": 1.0, "plain, with": 1.0}
    sizes = {each["normalised"]: each["parameters"] for each in found["trainings"]}
    assert sizes["with"] > sizes["without"]


def test_decoupled_decay(results: Callable[..., dict[str, Any]]) -> None:
    found = results("decoupled-decay")
    assert list(found["kinds"]) == list(decoupled_decay.DECAYS)
    for kind, of in found["kinds"].items():
        assert of["errors"][1][2] == image_study.mean(
            found["trainings"], "test_error", kind=kind, rate=3e-3, decay=of["decays"][2]
        )


def test_ode_net(results: Callable[..., dict[str, Any]]) -> None:
    ode, residual = results("ode-net", side=10)["trainings"]
    assert ode["parameters"] < residual["parameters"]
    assert len(ode["test"]) == 1 and len(ode["watched"]) == 2
    assert all(forwards > 0 and backwards > 0 for forwards, backwards in ode["watched"])
    assert residual["watched"] == [[0, 0], [0, 0]]


def test_a_signal_is_halved_by_xavier_and_kept_by_kaiming(tmp_path: Path) -> None:
    out = str(tmp_path)
    found = signal_propagation.run(signal_propagation.Options(quick=True, layers=6, out=out))
    curves = found["mean_squares"]
    assert {len(curve) for curve in curves.values()} == {7}
    kept = {name: curve[-1] / curve[0] for name, curve in curves.items()}
    assert kept["xavier_normal, relu"] == pytest.approx(2**-6, rel=0.5)
    assert kept["kaiming_normal, relu"] == pytest.approx(1, rel=0.5)
    assert kept["lecun_normal, selu"] == pytest.approx(1, rel=0.2)
    signal_propagation.draw(found, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1_000
    assert "| kaiming_normal, selu | " in "\n".join(signal_propagation.page(found))


def test_every_study_has_options_with_a_folder_of_its_own() -> None:
    modules = [importlib.import_module(f"studies.{name.replace('-', '_')}") for name in STUDIES]
    assert {module.Options().out for module in modules} == {f"runs/studies/{n}" for n in STUDIES}


def test_means_are_of_the_trainings_asked_for_and_know_a_divergence() -> None:
    found = [{"kind": "a", "loss": 1.0}, {"kind": "a", "loss": 2.0}, {"kind": "b", "loss": None}]
    assert image_study.mean(found, "loss", kind="a") == 1.5
    assert image_study.mean(found, "loss", kind="b") == float("inf")
    assert image_study.labels_of(found, "kind") == ["a", "b"]


def test_alignment_tells_a_valley_along_the_axis_from_an_oblique_one() -> None:
    found = decoupled_decay.alignment([[0.3, 0.1, 0.3], [0.2, 0.1, 0.2]], (0.01, 0.1, 1.0))
    assert found["spread_decades"] == 0 and found["regret"] == 0 and found["one_decay"] == 0.1
    found = decoupled_decay.alignment([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]], (0.01, 0.1, 1.0))
    assert found["best_decays"] == [0.01, 1.0]
    assert found["spread_decades"] == pytest.approx(2)
    assert found["regret"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("kind", "lost"), [("AdamW, torch", [0.003, 0.03]), ("AdamW, paper", [0.3, 0.3])]
)
def test_the_papers_decay_is_free_of_the_rate(kind: str, lost: list[float]) -> None:
    """What an update takes from a weight of 1 without a gradient, at two rates."""
    found = []
    for rate in (0.01, 0.1):
        weight = nn.Parameter(torch.ones(1))
        weight.grad = torch.zeros(1)
        chosen = dict(decoupled_decay.optimiser(kind, rate, 0.3))
        build_optimiser(chosen.pop("name"), [weight], rate, chosen.pop("epsilon"), **chosen).step()
        found.append(1 - weight.item())
    assert found == pytest.approx(lost, rel=1e-4)
