"""Texts of classes: folders, passages, rows of tokens, counting words, and fine-tuning."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from commands.dispatch import main
from core.config import to_toml
from core.errors import UserError
from core.files import checkpoint
from core.learner import Arithmetic
from core.trainer import Trainer
from networks.base import TextClassifier
from tasks.data.labelled_texts import PASSAGE, load_labelled_texts, passages
from tasks.label.build import begin
from tasks.label.config import LabelConfig
from tasks.label.naive_bayes import NaiveBayes
from tasks.label.task import Labelling, aligned
from tasks.mlm.config import MaskedConfig
from tasks.options import TrainingConfig

MakeTrainer = Callable[..., Trainer]

WORDS = ["cat", "dog", "sat", "ran", "mat", "old"]
SMALL = LabelConfig(
    network_options="width=16 layers=1 heads=2 dropout=0.0", tokenizer="characters",
    context_length=24, training=TrainingConfig(batch_size=20, epochs=2.0),
)  # fmt: skip


def write_folder(folder: Path, count: int = 200, seed: int = 0) -> Path:
    """Two classes: 'cat' comes before 'dog', or behind it; counting words tells nothing."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    for name, pair in (("before", ["cat", "dog"]), ("behind", ["dog", "cat"])):
        lines = []
        for _ in range(count):
            words = list(random.choice(WORDS[2:], 3))
            first, second = np.sort(random.choice(4, 2, replace=False))
            words.insert(first, pair[0])
            words.insert(second + 1, pair[1])
            lines.append(" ".join(words))
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """400 texts of two classes."""
    return write_folder(tmp_path / "order")


# ------------------------------------------------------------------------------------ the data


def test_a_folder_is_split_by_what_its_lines_say(folder: Path) -> None:
    data = load_labelled_texts(str(folder))
    assert data.classes == ("before", "behind")
    assert len(data.train) + len(data.validation) + len(data.test) == 400
    parts = [set(part.texts) for part in (data.train, data.validation, data.test)]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    assert 20 < len(data.validation) < 60 and 20 < len(data.test) < 60
    for part in (data.train, data.validation, data.test):
        for text, label in zip(part.texts, part.labels, strict=True):
            assert (text.index("dog") < text.index("cat")) == bool(label)
    digest = data.digest()
    (folder / "before.txt").rename(folder / "further.txt")
    assert load_labelled_texts(str(folder)).digest() != digest


def test_given_parts_are_kept(tmp_path: Path) -> None:
    write_folder(tmp_path / "both" / "train")
    write_folder(tmp_path / "both" / "test", count=7, seed=1)
    (tmp_path / "both" / "train" / "third.txt").write_text("a text\r" * 30)
    data = load_labelled_texts(str(tmp_path / "both"))
    lines = (tmp_path / "both" / "test" / "before.txt").read_text().splitlines()
    assert data.test.texts[:7] == lines and len(data.test) == 14
    assert len(data.train) + len(data.validation) == 430
    assert data.classes == ("before", "behind", "third")
    write_folder(tmp_path / "both" / "validation", count=5, seed=2)
    data = load_labelled_texts(str(tmp_path / "both"))
    assert [len(data.train), len(data.validation), len(data.test)] == [430, 10, 14]


def test_passages_are_whole_lines() -> None:
    text = "".join(f"line {number} of a novel\n" for number in range(100))
    found = passages(text)
    assert text.startswith("\n".join(found) + "\n")
    assert all(PASSAGE - 1 <= len(passage) < PASSAGE + 30 for passage in found)
    assert len(text) - len("\n".join(found)) < PASSAGE + 1


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "has 0 classes, expected 2 or more"),
        ({"one.txt": b"a text\n"}, "has 1 classes, expected 2 or more"),
        ({"one.txt": b"a text\n", "two.txt": b"\n"}, "too few: none of them falls into the"),
        ({"one.txt": b"a\n" * 9, "two.txt": b"\xff\n"}, "is not UTF-8 text"),
        ({"one.txt": b"", "two.txt": b"\n".join(b"%d" % n for n in range(99))},
         "class one has no text to learn from"),
    ],
)  # fmt: skip
def test_folders_that_cannot_be_used_are_one_line(
    tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        load_labelled_texts(str(tmp_path))
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_unknown_sets_name_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'austen'"):
        load_labelled_texts("austin")
    with pytest.raises(UserError, match="there is no folder"):
        load_labelled_texts(str(tmp_path / "absent"))


def test_counting_words_is_scikit_learns() -> None:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB

    random = np.random.default_rng(0)
    texts = [" ".join(random.choice([*WORDS, "Été", "x1"], 6)) for _ in range(60)]
    labels = random.integers(0, 3, 60)
    vectors = CountVectorizer(token_pattern=r"(?u)\w+").fit(texts[:40])
    theirs = MultinomialNB().fit(vectors.transform(texts[:40]), labels[:40])
    expected = theirs.predict(vectors.transform([*texts[40:], "unknown words"]))
    ours = NaiveBayes(texts[:40], labels[:40], 3).predict([*texts[40:], "unknown words"])
    np.testing.assert_array_equal(ours, expected)


# ---------------------------------------------------------------------------------- the tokens


def test_batches_are_as_long_as_their_longest_text(folder: Path) -> None:
    with (folder / "before.txt").open("a") as file:
        file.write("cat dog " * 40)
    problem = Labelling(replace(SMALL, data=str(folder), context_length=100))
    lengths = np.array([len(text) for text in problem.data.train.texts])
    short, long = np.flatnonzero(lengths < 30), np.flatnonzero(lengths > 99)
    random = np.random.default_rng(0)
    assert problem.batch(short, random)["tokens"].shape == (len(short), lengths[short].max() + 1)
    assert len(long) == 1
    assert problem.batch(long, random)["tokens"].shape == (1, 100)
    assert "0% of the texts are longer than the context of 100" in problem.describe()[1]
    cut = Labelling(replace(SMALL, data=str(folder), context_length=6))
    assert "100% of the texts are longer than the context of 6 tokens" in cut.describe()[1]


def test_rows_begin_together_or_end_together() -> None:
    texts = [np.array([1, 2, 3]), np.array([4]), np.array([], np.int64)]
    assert aligned(texts, 9, first=True).tolist() == [
        [9, 1, 2, 3], [9, 4, -1, -1], [9, -1, -1, -1],
    ]  # fmt: skip
    assert aligned(texts, 9, first=False).tolist() == [
        [1, 2, 3, 9], [-1, -1, 4, 9], [-1, -1, -1, 9],
    ]  # fmt: skip


@pytest.mark.parametrize("network", ["bert_tiny", "xlnet_tiny"])
def test_padding_does_not_matter(folder: Path, network: str) -> None:
    config = replace(SMALL, data=str(folder), network=network)
    problem = Labelling(config)
    torch.manual_seed(0)
    classifier = problem.build_network().eval()
    batch = problem.batch(np.arange(30), np.random.default_rng(0))
    assert (batch["tokens"] == problem.mask).sum() == 30
    tokens = torch.from_numpy(batch["tokens"])
    at_once = classifier(tokens.clamp(min=0), tokens >= 0)
    for row, logits in zip(batch["tokens"], at_once, strict=True):
        alone = classifier(torch.from_numpy(row[row >= 0])[None])[0]
        torch.testing.assert_close(alone, logits, atol=1e-5, rtol=1e-5)


class Order(TextClassifier):
    """Knows which of two tokens comes first."""

    reads_last = False

    def __init__(self, cat: int, dog: int) -> None:
        super().__init__()
        self.cat, self.dog = cat, dog

    def forward(self, tokens: Tensor, attend: Tensor | None = None) -> Tensor:
        """[B, 2]"""
        behind = (tokens == self.cat).int().argmax(1) > (tokens == self.dog).int().argmax(1)
        return 10.0 * nn.functional.one_hot(behind.long(), 2)


def test_who_knows_the_order_tells_all_and_who_counts_words_nothing(folder: Path) -> None:
    problem = Labelling(replace(SMALL, data=str(folder)))
    cat, dog = problem.tokenizer.encode("cg")  # letters that no other word has
    scored = problem.test(Order(int(cat), int(dog)), Arithmetic(), lambda: False)
    assert scored is not None and scored.scores["accuracy"] == 1.0
    assert scored.scores["naive_bayes_accuracy"] < 0.7
    assert np.trace(scored.details["confusion"]) == len(problem.data.test)
    assert problem.test(Order(0, 1), Arithmetic(), lambda: True) is None


def test_characters_of_another_text_are_refused(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("only these letters\n" * 100)
    with pytest.raises(UserError, match="the character 'c' is not in the text that the tokens"):
        Labelling(replace(SMALL, data=str(folder), text=str(other)))


# --------------------------------------------------------------------------------- fine-tuning


@pytest.fixture
def masked(folder: Path, tmp_path: Path) -> Callable[..., MaskedConfig]:
    """Options of masked language modelling on a text of the folder's words."""
    text = tmp_path / "text.txt"
    text.write_text((folder / "before.txt").read_text() + (folder / "behind.txt").read_text())

    def options(network: str) -> MaskedConfig:
        return MaskedConfig(
            data=str(text), network=network, network_options=SMALL.network_options,
            tokenizer="characters", context_length=24,
            training=TrainingConfig(batch_size=20, epochs=0.2),
        )  # fmt: skip

    return options


@pytest.mark.parametrize("network", ["bert_tiny", "xlnet_tiny"])
def test_it_goes_on_from_what_hidden_tokens_taught(
    network: str, make_trainer: MakeTrainer, folder: Path, masked: Callable[..., MaskedConfig]
) -> None:
    options = masked(network)
    trainer = make_trainer("mlm", options, "masked", evaluate_every=0)
    trainer.run()
    trainer.folder.write_config(to_toml(options))
    found = checkpoint.load(trainer.folder.checkpoints, keys=["network", "problem"])
    learned = found.state["network"]
    config = replace(SMALL, data=str(folder), text=options.data, network=network)
    agent = make_trainer("label", config, "labels", evaluate_every=0).agent
    fresh = {name: tensor.clone() for name, tensor in agent.network.state_dict().items()}
    begin(config, agent, found)
    place = "text." if network == "bert_tiny" else "body."
    moved = 0
    for name, tensor in agent.network.state_dict().items():
        inner = name.removeprefix(place)
        assert torch.equal(tensor, learned[inner] if inner in learned else fresh[name])
        moved += inner in learned and not torch.equal(tensor, fresh[name])
    assert moved > 10
    # More dropout is no other network.
    begin(replace(config, network_options="width=16 layers=1 heads=2 dropout=0.3"), agent, found)


def test_what_learned_something_else_is_refused(
    make_trainer: MakeTrainer, folder: Path, tmp_path: Path, masked: Callable[..., MaskedConfig]
) -> None:
    options = masked("xlnet_tiny")
    trainer = make_trainer("mlm", options, "masked", evaluate_every=0)
    trainer.run()
    trainer.folder.write_config(to_toml(options))
    found = checkpoint.load(trainer.folder.checkpoints, keys=["network", "problem"])
    longer = tmp_path / "longer.txt"
    longer.write_text(Path(options.data).read_text() + "xylophone\n")
    ours = replace(SMALL, data=str(folder), text=options.data, network="xlnet_tiny")
    for number, (changes, message) in enumerate(
        (
            ({"text": str(longer)}, "learned other tokens: give its --data as --text"),
            ({"tokenizer": "bytes"}, "learned other tokens"),
            ({"context_length": 40}, "has --context-length 24, this run 40: give the same"),
            ({"network": "bert_tiny"}, "has --network xlnet_tiny, this run bert_tiny"),
            ({"network_options": "width=16 layers=1 heads=4 dropout=0.0"}, "heads=2, not 4"),
        )
    ):
        config = replace(ours, **changes)
        agent = make_trainer("label", config, f"labels{number}", evaluate_every=0).agent
        with pytest.raises(UserError, match=message):
            begin(config, agent, found)
    trainer.folder.write_config("network = [")
    with pytest.raises(UserError, match=r"config\.toml is not valid TOML"):
        begin(ours, agent, found)
    trainer.folder.write_config("")
    with pytest.raises(UserError, match="has --network None, this run xlnet_tiny"):
        begin(ours, agent, found)
    other = replace(found, identity={"agent": "lm"})
    with pytest.raises(UserError, match="a run of lm; expected one of mlm, or of label"):
        begin(config, agent, other)


def test_the_order_of_words_is_learned(make_trainer: MakeTrainer, folder: Path) -> None:
    config = replace(
        SMALL, data=str(folder), network="xlnet_tiny", tokenizer="bpe", vocabulary=300,
        network_options="width=32 layers=2 heads=2 inner=64",
        training=TrainingConfig(batch_size=20, epochs=12.0, learning_rate=4e-3),
    )  # fmt: skip
    trainer = make_trainer("label", config, evaluate_every=0)
    trainer.run()
    found = trainer.task.evaluate(0, 0, lambda: False)
    assert found is not None and found.best_by > 0.9  # counting words tells half


def test_from_the_command_line(
    folder: Path,
    tmp_path: Path,
    masked: Callable[..., MaskedConfig],
    capsys: pytest.CaptureFixture[str],
) -> None:
    text, first, run = masked("bert_tiny").data, str(tmp_path / "first"), str(tmp_path / "run")
    plain = ["--tokenizer", "characters", "--network-options", "width=16 layers=1 heads=2",
             "--context-length", "24", "--epochs", "0.2", "--precision", "fp32", "--threads", "1",
             "--device", "cpu", "--no-progress"]  # fmt: skip
    assert main(["train", "mlm", "--data", text, *plain, "--run-dir", first]) == 0
    label = ["train", "label", "--data", str(folder), "--text", text, *plain, "--initial", first]
    assert main([*label, "--run-dir", run]) == 0
    assert "beginning with the weights of" in capsys.readouterr().err
    assert main(["evaluate", run]) == 0
    out = capsys.readouterr().out
    assert "test accuracy" in out and "by counting the words it saw (naive Bayes)" in out
    assert main([*label, "--context-length", "20", "--run-dir", str(tmp_path / "no")]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"cannot begin with {first}" in error and "has --context-length 24" in error
    assert main([*label, "--initial", run, "--run-dir", str(tmp_path / "again")]) == 0
    shutil.rmtree(first)  # a run that goes on asks no more what it began with
    assert main(["resume", run, "--total-steps", "140", "--precision", "bf16"]) == 0
