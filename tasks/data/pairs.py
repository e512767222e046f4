"""Sentences in two languages, line by line.

    multi30k      captions of photographs, English-German, 29,000 / 1,014 / 1,000
                  Elliott et al. 2016, arXiv 1605.00459
    bible         verses, Spanish-English, 30,430: Reina-Valera 1909 and the World English Bible
    a folder      train.de, train.en; val.*, valid.* or dev.*; test*.*, the first by name
    two files     whose lines belong together

Training, validation, test. Of verses and of two files, 2 % of the pairs each are for validation and
test. Which part a pair falls into is decided by a hash of it, so that the same pair never stands in
two parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import UserError, did_you_mean
from tasks.data.files import fraction, locate, looks_like_path, read_text, require_sha256
from tasks.data.sword import FILES, read_chapters

HELD_OUT = 0.02
VALIDATION_NAMES = ("val", "valid", "dev")
NAMES = ("multi30k", "bible")
BIBLES = {"es": "spaRV1909eb", "en": "engWEB2015eb"}
"""Modules of the SWORD project, by language."""
BIBLES_LICENCE = "public domain; the name World English Bible is a trademark of eBible.org"
BIBLES_SHA256 = {
    "es": "90ab3792a7c8c004ddaeb42d394d2bf0d39133deff3a5920cd7c6ee7533cad1f",
    "en": "3eca22ead9385aded937a845c2be118c5b34c7288cb7cb1d88352d0eca3ebbd0",
}
"""Of the verses one after another, not of the files: those change with every packing."""


@dataclass(frozen=True)
class Pairs:
    """Sentences and their translations, equally many."""

    source: list[str]
    target: list[str]

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True)
class PairSet:
    """Pairs in three parts."""

    name: str
    licence: str
    train: Pairs
    validation: Pairs
    test: Pairs

    def digest(self) -> str:
        """Changes with any character."""
        found = hashlib.sha256()
        for part in (self.train, self.validation, self.test):
            for line in (*part.source, *part.target):
                found.update(line.encode("utf-8", "surrogatepass") + b"\n")
        return found.hexdigest()


def load_pairs(data: str, data_target: str, source: str, target: str) -> PairSet:
    """Pairs by name, of a folder, or of two files.

    Args:
        data: 'multi30k', 'bible', a folder, or the file of source sentences.
        data_target: the file of their translations, for two files.
        source, target: the endings of a folder's files, such as 'de' and 'en'; for 'bible', its
            languages.

    Raises:
        UserError: nothing is there, or the lines do not belong together.
    """
    if data_target:
        return _two_files(Path(data), Path(data_target))
    if data == "multi30k":
        names = [f"{part}.{ending}" for part in ("train", "val") for ending in (source, target)]
        advice = "it comes from the repository multi30k/dataset, data/task1"
        return _folder(locate("multi30k", names, [], advice), source, target)
    if data == "bible":
        return _bible(source, target)
    if looks_like_path(data):
        path = Path(data)
        if path.is_dir():
            return _folder(path, source, target)
        raise UserError(f"{data} holds one language; name its translation with --data-target FILE")
    raise UserError(
        f"there is no data set {data!r}{did_you_mean(data, NAMES)} (known: {', '.join(NAMES)}; or "
        f"a folder, or two files: --data FILE --data-target FILE)"
    )


def _folder(folder: Path, source: str, target: str) -> PairSet:
    parts: list[Pairs] = []
    for names in (("train",), VALIDATION_NAMES, _test_names(folder, source)):
        found = [name for name in names if (folder / f"{name}.{source}").is_file()]
        if not found:
            raise UserError(
                f"{folder} has no {' or '.join(f'{name}.{source}' for name in names)}; expected "
                f"train.{source}, train.{target}, val.*, test*.*; other languages: --source-ending "
                f"and --target-ending"
            )
        parts.append(
            _aligned(folder / f"{found[0]}.{source}", folder / f"{found[0]}.{target}", keep=True)
        )
    return PairSet(folder.resolve().name, "not stated", *parts)


def _test_names(folder: Path, ending: str) -> Sequence[str]:
    found = sorted(path.name for path in folder.glob(f"test*.{ending}"))
    return [name.removesuffix(f".{ending}") for name in found] or ["test"]


def _two_files(source: Path, target: Path) -> PairSet:
    whole = _aligned(source, target, keep=False)
    name = f"{source.stem}-{target.suffix[1:] or target.stem}"
    return _split(name, "not stated", whole, f"{source} and {target}")


def _bible(source: str, target: str) -> PairSet:
    """Verses of the same name; both directions have the same parts. Raises UserError."""
    if {source, target} != set(BIBLES):
        languages = " and ".join(BIBLES)
        raise UserError(
            f"the data set bible is in {languages}, not in {source} and {target}: use "
            f"--source-ending es --target-ending en, or the other way round"
        )
    folder = locate(
        "bible",
        [f"{module}/{file}" for module in BIBLES.values() for file in FILES],
        [Path("/usr/share/sword/modules/texts/ztext")],
        "apt-get install sword-text-sparv sword-text-web",
    )
    spanish, english = (_chapters(folder, language) for language in BIBLES)
    data = _split("bible", BIBLES_LICENCE, _same_verses(spanish, english), str(folder))
    if source == "es":
        return data
    parts = (data.train, data.validation, data.test)
    return PairSet(data.name, data.licence, *(Pairs(part.target, part.source) for part in parts))


def _chapters(folder: Path, language: str) -> dict[str, list[str]]:
    """The verses of each chapter. Raises UserError for another edition."""
    path = folder / BIBLES[language]
    chapters = read_chapters(path)
    text = "\n".join(verse for verses in chapters.values() for verse in verses)
    require_sha256(f"the text in {path}", text.encode(), BIBLES_SHA256[language])
    return chapters


def _same_verses(source: Mapping[str, list[str]], target: Mapping[str, list[str]]) -> Pairs:
    """Verses that both translations have, in the order of the source.

    Some chapters end earlier in one tradition than in the other: verses are joined, or counted to
    the next chapter. Both these chapters and those after them are left out. Of the others, verses
    that only one of the two has are left out.
    """
    pairs: list[tuple[str, str]] = []
    trusted = True
    for name, verses in source.items():
        others = target.get(name, [])
        before, trusted = trusted, _last_verse(verses) == _last_verse(others)
        if before and trusted:
            pairs += [(a, b) for a, b in zip(verses, others, strict=False) if a and b]
    return Pairs([a for a, _ in pairs], [b for _, b in pairs])


def _last_verse(verses: Sequence[str]) -> int:
    """The number of the last verse with a text; 0 where there is none."""
    return max((number for number, verse in enumerate(verses, 1) if verse), default=0)


def _split(name: str, licence: str, whole: Pairs, place: str) -> PairSet:
    """Pairs in three parts by a hash of each. Raises UserError where they are too few."""
    rows: tuple[list[int], ...] = ([], [], [])
    for row, pair in enumerate(zip(whole.source, whole.target, strict=True)):
        at = fraction("\n".join(pair))
        rows[1 if at < HELD_OUT else 2 if at < 2 * HELD_OUT else 0].append(row)
    if not all(rows):
        raise UserError(
            f"{place}: {len(whole)} pairs of sentences, too few to hold some out for validation "
            f"and test"
        )
    parts = [
        Pairs([whole.source[row] for row in part], [whole.target[row] for row in part])
        for part in rows
    ]
    return PairSet(name, licence, *parts)


def _aligned(source: Path, target: Path, keep: bool) -> Pairs:
    """Two files' lines. `keep` has every line, so that a test stays whole; else empty ones go."""
    lines = [read_text(path).split("\n") for path in (source, target)]
    for part in lines:
        if part[-1] == "":
            part.pop()
    if len(lines[0]) != len(lines[1]):
        raise UserError(
            f"{source} has {len(lines[0]):,} lines and {target} {len(lines[1]):,}; they must "
            f"belong together line by line"
        )
    pairs = [
        (a.strip(), b.strip())
        for a, b in zip(*lines, strict=True)
        if keep or (a.strip() and b.strip())
    ]
    if not pairs:
        raise UserError(f"{source} and {target} hold no sentences")
    return Pairs([a for a, _ in pairs], [b for _, b in pairs])
