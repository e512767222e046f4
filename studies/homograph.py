"""Does ELMo tell two senses of a word apart, and in which layer?

Peters et al. 2018, Deep contextualized word representations, arXiv 1802.05365, section 5.3: each
sense is the mean of its vectors in the training text, and a new occurrence is told by the nearer
mean. Nobody has marked senses in a novel, so two of its words are spelled alike, as Gale, Church &
Yarowsky did (1992, Work on statistical methods for word sense disambiguation): "letter" is written
"sister" too, and which it was is known. By its letters alone an occurrence says nothing.
Untrained layers know what stands around a word too, so they are the yardstick.

    tengen study homograph

Legend: N occurrences, T tokens of a window, P features of a layer and direction.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.config import free
from core.errors import UserError
from studies.taught import learn, load_network

if TYPE_CHECKING:
    from torch import nn

    from tasks.lm.task import LanguageModelling

TITLE = "Two words of one spelling, told apart by ELMo"
AT_ONCE = 64
"""Windows of a forward pass."""
LEARNING = ["--preset", "austen-elmo"]


@dataclass(frozen=True)
class Options:
    """Share of occurrences of words spelled alike whose sense each layer of ELMo tells."""

    alike: str = "sister/letter,mother/room,morning/hand,house/heart"
    """Words spelled alike: what was the second of a pair is written as the first."""
    data: str = "austen"
    """As for tengen train lm."""
    quick: bool = False
    """A twentieth of the epochs: shows that all works, and nothing of what is learned."""
    epochs: float = free(6.0, over=0, at_most=1000)
    """Times that the text is read, about ten minutes of a core each."""
    most: int = free(400, at_least=1)
    """Occurrences of each sense that its mean is taken over, the first."""
    threads: int = free(1, at_least=0)
    """Of the processor, for the training."""
    out: str = "runs/studies/homograph"
    """Folder of the text, the run that learns it, results.json, figure.png and page.md."""


@dataclass(frozen=True)
class Occurrence:
    """A word in a text."""

    word: str
    """As it is spelled."""
    sense: int
    """0 for the word that was always spelled so, 1 for the other."""
    end: int
    """Bytes of the text up to its end."""


def run(options: Options) -> dict[str, Any]:
    """Write the text, let a run learn it, judge the layers. Raises UserError for words or data that
    cannot be used."""
    import torch

    from core.files import atomic
    from core.files.json_files import disk_errors
    from tasks.data.texts import load_text

    parts = load_text(options.data)
    text = (parts.train + parts.validation + parts.test).replace("\r", "").encode()
    pairs = [pair.strip() for pair in options.alike.split(",")]
    text, occurrences = spell_alike(text, pairs)
    folder = Path(options.out) / ("quick" if options.quick else "run")
    path = folder.with_suffix(".txt")
    with disk_errors("write", path):
        atomic.make_folder(path.parent)
        if folder.exists() and path.exists() and path.read_bytes() != text:
            raise UserError(f"{folder} learned another text or other words: choose another --out")
        atomic.replace_file(path, [text])
    require_both(pairs, occurrences, len(load_text(str(path)).train.encode()))
    epochs = options.epochs / (20 if options.quick else 1)
    learn(folder, [*LEARNING, "--data", str(path), "--epochs", str(epochs)], options.threads)
    problem, trained = load_network(folder)
    torch.manual_seed(problem.config.run.seed)
    networks = {"untrained": problem.build_network().eval(), "trained": trained}
    places = token_places(problem, occurrences)
    senses = np.array([each.sense for each in occurrences])
    spelling = np.array([each.word for each in occurrences])
    words = []
    for pair in pairs:
        own = of_one_token(problem, places, np.flatnonzero(spelling == pair.split("/")[0]))
        known, new = divide(pair, own, senses, places, len(problem.data.train), options.most)
        found = {"pair": pair, "known_of_each": len(known) // 2, "senses": senses[new].tolist()}
        for name, network in networks.items():
            before = representations(network, problem, places[known])
            now = representations(network, problem, places[new])
            near = [
                cosines(one, senses[known], other) for one, other in zip(before, now, strict=True)
            ]
            found[name] = [round(share_told(layer, senses[new]), 4) for layer in near]
            found["cosines"] = [layer.round(4).tolist() for layer in near]  # kept of the trained
        words.append(found)
    return {"words": words}


def spell_alike(text: bytes, alike: Sequence[str]) -> tuple[bytes, list[Occurrence]]:
    """The text with the second word of each pair written as the first, and where both are.

    Raises:
        UserError: a pair is not two words with / between, or a word is there twice.
    """
    written: dict[bytes, tuple[str, int]] = {}
    for pair in alike:
        words = pair.split("/")
        if len(words) != 2 or not all(word.isalpha() and word.isascii() for word in words):
            raise UserError(f"--alike: expected two words with / between, got {pair!r}")
        for sense, word in enumerate(words):
            if word.encode() in written:
                raise UserError(f"--alike has the word {word!r} twice")
            written[word.encode()] = words[0], sense
    pieces, occurrences, end, place = [], [], 0, 0
    letter = rb"[A-Za-z0-9\x80-\xff]"  # accented ones are bytes over 127
    words_of_pairs = rb"(?<!%b)(?:%b)(?!%b)" % (letter, b"|".join(written), letter)
    for match in re.finditer(words_of_pairs, text):
        word, sense = written[match[0]]
        pieces += [text[place : match.start()], word.encode()]
        end += len(pieces[-2]) + len(word)
        place = match.end()
        occurrences.append(Occurrence(word, sense, end))
    return b"".join([*pieces, text[place:]]), occurrences


def require_both(pairs: Sequence[str], occurrences: Sequence[Occurrence], train_bytes: int) -> None:
    """Raise UserError for a word that is not in the training text, or not behind it."""
    seen = {(each.word, each.sense, each.end <= train_bytes) for each in occurrences}
    for words in (pair.split("/") for pair in pairs):
        for sense, word in enumerate(words):
            for training, part in ((True, "training text"), (False, "text behind it")):
                if (words[0], sense, training) not in seen:
                    raise UserError(f"--alike: {word!r} is not in the {part}")


def token_places(problem: LanguageModelling, occurrences: Sequence[Occurrence]) -> np.ndarray:
    """Which token of the whole text is the last of each occurrence, int64 [N]."""
    lengths = np.array([len(spelling) for spelling in problem.data.tokenizer.spellings()])
    ends = np.cumsum(lengths[whole_text(problem)])
    return np.searchsorted(ends, [each.end for each in occurrences])


def of_one_token(problem: LanguageModelling, places: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Of occurrences those whose last token is the commonest one, so that no blank or line
    end before a word, which makes another token of it, tells them apart."""
    tokens = whole_text(problem)[places[own]]
    chosen: np.ndarray = own[tokens == np.bincount(tokens).argmax()]
    return chosen


def whole_text(problem: LanguageModelling) -> np.ndarray:
    """The tokens of all parts, which lie one behind the other in the file."""
    data = problem.data
    return np.concatenate([data.train, data.validation, data.test])


def divide(
    pair: str, own: np.ndarray, senses: np.ndarray, places: np.ndarray, train_tokens: int, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Of the occurrences of a word the known ones, as many of each sense, the first in the training
    text, and the new ones behind it. Raises UserError for a sense that one part has not (as that
    token)."""
    training = own[places[own] < train_tokens]
    new = own[places[own] >= train_tokens]
    counts = [np.bincount(senses[part], minlength=2) for part in (training, new)]
    if not np.all(counts):
        raise UserError(
            f"the commonest form of {pair} is not in both parts of the text in both senses"
        )
    count = min(most, *counts[0])
    return np.concatenate([training[senses[training] == n][:count] for n in (0, 1)]), new


def representations(
    network: nn.Module, problem: LanguageModelling, places: np.ndarray
) -> np.ndarray:
    """What each layer says of tokens in the middle of their windows, [layers + 1, N, 2 P]."""
    import torch

    from networks.language.elmo import Elmo

    assert isinstance(network, Elmo)
    text, length = torch.from_numpy(whole_text(problem)), problem.config.context_length
    starts = torch.from_numpy(np.clip(places - length // 2, 0, len(text) - length))
    rows = torch.from_numpy(places) - starts
    found = []
    for first in range(0, len(places), AT_ONCE):
        chosen = slice(first, first + AT_ONCE)
        windows = text[starts[chosen, None] + torch.arange(length)]
        with torch.no_grad():
            layers = network.representations(windows)
        found.append(layers[:, torch.arange(len(windows)), rows[chosen]])
    vectors: np.ndarray = torch.cat(found, dim=1).numpy()
    return vectors


def cosines(known: np.ndarray, known_senses: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Of new vectors [N, 2 P] with the means of both senses, [N, 2]."""
    from networks.language.word_vectors import unit_length

    means = np.stack([known[known_senses == sense].mean(axis=0) for sense in (0, 1)])
    found: np.ndarray = unit_length(new) @ unit_length(means).T
    return found


def share_told(near: np.ndarray, senses: np.ndarray) -> float:
    """Occurrences nearer [N, 2] to their own sense; the mean of both senses: one half is chance."""
    told = near.argmax(axis=1) == senses
    return float(np.mean([told[senses == sense].mean() for sense in (0, 1)]))


def page(results: Mapping[str, Any]) -> list[str]:
    """Shares by word, network and layer."""
    from studies.image_study import table

    layers = len(results["words"][0]["trained"])
    rows = []
    for found in results["words"]:
        counts = np.bincount(found["senses"], minlength=2)
        rows += [
            [found["pair"], f"{counts[0]} and {counts[1]}", name,
             *(f"{share:.1%}" for share in found[name])]
            for name in ("untrained", "trained")
        ]  # fmt: skip
    names = ["letters", *(f"layer {n}" for n in range(1, layers))]
    return [
        *table(["spelled alike", "new occurrences", "network", *names], rows),
        "Share of a sense's new occurrences that are nearer to its mean than to the other; mean of "
        "both senses: one half is chance.",
    ]


def draw(results: Mapping[str, Any], path: Path) -> None:
    """New occurrences of the first words by their cosines with both means, in each layer."""
    from core.report.plots import COLOURS
    from studies.training import new_figure, save_figure

    found = results["words"][0]
    senses, names = np.array(found["senses"]), found["pair"].split("/")
    figure, axes = new_figure(len(found["cosines"]), width=3.2 * len(found["cosines"]), height=3.3)
    for layer, (axis, points) in enumerate(zip(axes, map(np.array, found["cosines"]), strict=True)):
        for sense, colour in enumerate(COLOURS[:2]):
            chosen = points[senses == sense]
            axis.plot(*chosen.T, ".", color=colour, label=f"was {names[sense]}")
        axis.axline((points.mean(),) * 2, slope=1, color="grey", linewidth=0.8)
        axis.set_title(f"layer {layer}" if layer else "letters")
        axis.set_xlabel(f"cosine with the mean of {names[0]}")
        axis.set_ylabel(f"with the mean of {names[1]}")
        axis.locator_params(nbins=5)
    axes[-1].legend(frameon=False)
    save_figure(figure, path)
