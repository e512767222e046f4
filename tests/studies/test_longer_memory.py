"""What a memory foresees on a text whose letters come back, and the study on it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from commands.study import main
from core.errors import UserError
from networks.language.transformer_xl import PRESETS, TransformerXL, TransformerXLConfig
from studies import longer_memory
from studies.longer_memory import STREAMS, seconds_per_token, surprise

SMALL = TransformerXLConfig(
    vocabulary=7, width=16, layers=2, heads=2, head_width=8, inner=16, dropout=0.0
)


def small() -> TransformerXL:
    """With weights that make a difference."""
    torch.manual_seed(0)
    network = TransformerXL(SMALL).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network


@pytest.mark.parametrize("segment", [1, 3, 8])
def test_with_a_memory_as_long_as_the_text_segments_do_not_matter(segment: int) -> None:
    network = small()
    tokens = np.random.default_rng(0).integers(0, 7, STREAMS * 20 + 1)
    found = surprise(network, tokens, segment, 64, skipped=0)
    nats = []
    for stream in range(STREAMS):
        text = torch.from_numpy(tokens[stream * 20 : stream * 20 + 21])
        with torch.no_grad():
            logits = network(text[None, :-1])[0][0]
        nats.append(float(F.cross_entropy(logits, text[1:])))
    assert found == pytest.approx(np.mean(nats), rel=1e-5)


def test_the_first_tokens_are_read_and_not_scored() -> None:
    network = small()
    tokens = np.random.default_rng(0).integers(0, 7, STREAMS * 20 + 1)
    whole, end = (surprise(network, tokens, 4, 64, skipped) for skipped in (0, 12))
    other = tokens.copy()
    rows = np.arange(STREAMS)[:, None] * 20 + np.arange(1, 9)  # 0 ends the stream before
    other[rows] = (other[rows] + 1) % 7
    assert surprise(network, other, 4, 64, 0) != pytest.approx(whole, rel=1e-4)
    assert end != pytest.approx(whole, rel=1e-4)
    # What was read is remembered, or not.
    assert surprise(network, other, 4, 64, 12) != pytest.approx(end, rel=1e-5, abs=0)
    forgets = [surprise(network, text, 4, 0, 12) for text in (tokens, other)]
    assert forgets[0] == pytest.approx(forgets[1], rel=1e-6)


def test_a_token_costs_less_from_a_memory() -> None:
    torch.manual_seed(0)
    network = TransformerXL(PRESETS["transformer_xl_tiny"]).eval()
    kept, anew = seconds_per_token(network, np.arange(200), 512, tries=3)
    assert 0 < 2 * kept < anew


def test_the_study_on_a_text_that_repeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stretches of one letter among dots: who has seen none yet cannot know which."""
    random = np.random.default_rng(0)
    pieces = []
    for letter in random.choice(list("abcdefgh"), 400):
        pieces.append("".join(np.where(random.random(60) < 0.6, ".", letter)))
    book, out = tmp_path / "book.txt", tmp_path / "out"
    book.write_text("\n".join(pieces))
    options = (
        f"--network transformer_xl_tiny --data {book} --context-length 72 --segment-length 24 "
        f"--network-options width=32&layers=2&heads=2&head_width=16&inner=64 "
        f"--batch-size 16 --learning-rate 4e-3 --precision fp32 --no-progress"
    )
    arguments = [part.replace("&", " ") for part in options.split()]
    monkeypatch.setattr(longer_memory, "LEARNING", arguments)
    argv = ["longer-memory", "--epochs", "6", "--segment", "4", "--longest", "64",
            "--longest-written", "256", "--out", str(out)]  # fmt: skip
    assert main(argv) == 0
    printed = capsys.readouterr().out
    assert "with a memory of 128 tokens" in printed
    assert "| tokens of memory | 0 | 16 | 32 | 64 |" in printed
    results = json.loads((out / "results.json").read_text())
    bits = {row["length"]: row["bits"] for row in results["memory"]}
    assert bits[16] < bits[0] - 0.3
    assert all(math.isfinite(row["anew_ms"]) for row in results["writing"])
    assert (out / "figure.png").stat().st_size > 5000
    for more, line in (
        (["--epochs", "31"], "begun with other options"),
        (["--longest", "4096"], "leaves nothing of the test part"),
        (["--longest-written", "64"], "--longest-written must be"),
    ):
        with pytest.raises(UserError, match=line):
            main([*argv, *more])
