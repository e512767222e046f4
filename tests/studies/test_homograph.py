"""Words spelled alike: their places, what is told of them, and the study on a small text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import commands.train
from commands.study import main
from core.errors import UserError
from core.files.checkpoint import load as load_checkpoint
from core.files.run_folder import RunFolder
from studies import homograph
from studies.homograph import Occurrence, cosines, divide, share_told, spell_alike
from studies.taught import load_network
from tasks.lm.config import LanguageModelConfig
from tasks.lm.task import LanguageModelling

ANIMALS, TOOLS = ["dog", "pony", "owl", "calf"], ["saw", "drill", "nail", "plane"]


def text(lines: int = 400) -> str:
    """Beasts among animals, pliers among tools; the other words are the same."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(lines):
        word, near = [("beast", ANIMALS), ("pliers", TOOLS)][random.integers(2)]
        one, other = random.choice(near, 2)
        if not random.integers(8):
            found.append(f"{word}\n")  # with no blank before it: another token
        found.append(f"a {one} {word} {other} was n\N{LATIN SMALL LETTER E WITH ACUTE}e here\n")
    return "".join(found)


def test_the_second_word_is_written_as_the_first() -> None:
    before = (
        "sister, letter\nr\N{LATIN SMALL LETTER O WITH ACUTE} sisters Letter mother room".encode()
    )
    after, found = spell_alike(before, ["sister/letter", "mother/room"])
    assert after == before.replace(b" letter", b" sister").replace(b" room", b" mother")
    expected = [("sister", 0, 6), ("sister", 1, 14), ("mother", 0, len(after) - 7)]
    expected += [("mother", 1, len(after))]
    assert found == [Occurrence(*each) for each in expected]
    for pair in ("sister", "a/b/c", "a/", "a/b c", ".*/b"):
        with pytest.raises(UserError, match="expected two words with / between"):
            spell_alike(before, [pair])
    with pytest.raises(UserError, match="the word 'room' twice"):
        spell_alike(before, ["mother/room", "room/sister"])


def test_a_sense_is_told_by_the_nearer_mean() -> None:
    random = np.random.default_rng(1)
    known, new = random.normal(size=(2, 12, 5))
    senses, new_senses = np.arange(12) % 2, np.array([0] * 8 + [1] * 4)
    right = {0: 0, 1: 0}
    for vector, sense in zip(new, new_senses, strict=True):
        nearness = []
        for other in (0, 1):
            mean = known[senses == other].mean(axis=0)
            nearness.append(vector @ mean / np.linalg.norm(vector) / np.linalg.norm(mean))
        right[int(sense)] += int(nearness[sense] > nearness[1 - sense])
    expected = (right[0] / 8 + right[1] / 4) / 2
    assert share_told(cosines(known, senses, new), new_senses) == pytest.approx(expected)
    assert share_told(np.ones((12, 2)), new_senses) == 0.5, "all alike: chance"


def test_as_many_of_each_sense_are_known() -> None:
    own, senses = np.array([1, 2, 3, 4, 6, 7, 8]), np.array([9, 0, 0, 1, 0, 9, 1, 0, 1])
    places = np.arange(9) * 10
    known, new = divide("a/b", own, senses, places, 70, most=5)
    assert known.tolist() == [1, 2, 3, 6] and new.tolist() == [7, 8]
    assert divide("a/b", own, senses, places, 70, most=1)[0].tolist() == [1, 3]
    for end in (30, 80):
        with pytest.raises(UserError, match="the commonest form of a/b is not in both parts"):
            divide("a/b", own, senses, places, end, most=5)


def test_places_are_tokens_that_end_with_the_word(tmp_path: Path) -> None:
    spelled, occurrences = spell_alike(text().encode(), ["beast/pliers"])
    path = tmp_path / "text.txt"
    path.write_bytes(spelled)
    config = LanguageModelConfig(data=str(path), tokenizer="bpe", vocabulary=280)
    problem = LanguageModelling(config)
    tokens = homograph.whole_text(problem)
    places = homograph.token_places(problem, occurrences)
    assert len(places) == len(occurrences) > 400
    decode = problem.data.tokenizer.decode
    for place in places[::37]:
        assert decode(tokens[: place + 1].tolist()).endswith("beast")
    kept = homograph.of_one_token(problem, places, np.arange(len(places)))
    assert len(kept) == 400
    assert {decode([token]) for token in tokens[places[kept]]} == {" beast"}


def test_only_whole_words_are_rewritten() -> None:
    text = "letter-box _letter_ letters fianc\N{LATIN SMALL LETTER E WITH ACUTE}".encode()
    after, found = spell_alike(text, ["sister/letter", "mother/fianc"])
    assert after.startswith(b"sister-box _sister_ letters fianc") and len(found) == 2


def test_the_study_tells_what_only_the_neighbours_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A training of its preset in a smaller form, stopped, gone on with and judged."""
    small = (
        "--vocabulary 300 --context-length 16 --network-options cells=128 --batch-size 8 "
        "--total-steps 24 --evaluate-every 8 --precision fp32 --no-progress"
    )
    real_train = commands.train.train

    def train(name: str, argv: list[str]) -> RunFolder | None:
        """Stopped as soon as it reports."""
        return real_train(name, argv, lambda report: False)

    monkeypatch.setattr(commands.train, "train", train)
    monkeypatch.setattr(homograph, "LEARNING", [*homograph.LEARNING, *small.split()])
    book, out = tmp_path / "book.txt", tmp_path / "out"
    book.write_text(text(), "utf-8")
    argv = ["homograph", "--data", str(book), "--alike", "beast/pliers", "--out", str(out)]
    with pytest.raises(UserError, match="was stopped: the same command goes on"):
        main(argv)
    assert main(argv) == 0 and "| beast/pliers |" in capsys.readouterr().out
    (found,) = json.loads((out / "results.json").read_text())["words"]
    for name in ("untrained", "trained"):  # animals and tools stand next to the word
        letters, *layers = found[name]
        assert letters == 0.5 and min(layers) > 0.9
    _, trained = load_network(out / "run")
    saved = load_checkpoint(out / "run" / "checkpoints")
    weights = trained.state_dict()["output.weight"]
    assert saved.step == 24 and torch.equal(saved.state["network"]["output.weight"], weights)
    assert found["trained"] != found["untrained"]
    assert (out / "figure.png").stat().st_size > 5000
    for more, line in (
        (["--alike", "pliers/beast"], "learned another text or other words"),
        (["--epochs", "7"], "begun with other options"),
        (["--alike", "beast/nobody", "--quick"], "'nobody' is not in the training text"),
    ):
        with pytest.raises(UserError, match=line):
            main([*argv, *more])
