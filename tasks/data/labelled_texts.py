"""Texts that belong to classes.

    austen      passages of Jane Austen's six novels; the class of each is its novel
    a folder    FOLDER/CLASS.txt, a text in each line

Of each novel the last tenth is held out, as in texts.py. A line's part is decided by a hash of it:
80 % training, 10 % validation, 10 % test; so the same text is never in two parts. Where there are
FOLDER/train/CLASS.txt and FOLDER/test/CLASS.txt, they are taken as they are, and so is
FOLDER/validation/CLASS.txt, or a tenth of the training lines.

Legend: N texts, K classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import UserError, did_you_mean
from core.files.json_files import disk_errors
from tasks.data.files import fraction, looks_like_path, read_text
from tasks.data.texts import austen, split_documents

NOVELS = ("Emma", "Mansfield Park", "Northanger Abbey", "Persuasion", "Pride and Prejudice",
          "Sense and Sensibility")  # fmt: skip
"""As they follow each other in the package."""
PASSAGE = 200
"""Characters of a passage of a novel, to the end of the line."""
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class LabelledTexts:
    """Texts and the numbers of their classes."""

    texts: list[str]
    labels: np.ndarray
    """int64 [N]"""

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class LabelledTextSet:
    """Texts of K classes in three parts."""

    name: str
    licence: str
    classes: tuple[str, ...]
    train: LabelledTexts
    validation: LabelledTexts
    test: LabelledTexts

    def digest(self) -> str:
        """Changes with any character and any label."""
        found = hashlib.sha256("\0".join(self.classes).encode("utf-8", "surrogatepass"))
        for part in (self.train, self.validation, self.test):
            found.update(part.labels.tobytes())
            found.update("\0".join(part.texts).encode("utf-8", "surrogatepass"))
        return found.hexdigest()


def load_labelled_texts(data: str) -> LabelledTextSet:
    """Texts of a set by its name, or of a folder.

    Raises:
        UserError: unknown name, no such files, fewer than two classes, or a part without texts.
    """
    if data == "austen":
        return _novels()
    if looks_like_path(data):
        return _folder(Path(data))
    raise UserError(
        f"there is no set of labelled texts {data!r}{did_you_mean(data, ['austen'])} (known: "
        f"austen; or a folder of FOLDER/CLASS.txt)"
    )


def _novels() -> LabelledTextSet:
    novels = [split_documents("", [novel], "") for novel in austen()]
    parts = [_labelled([passages(getattr(novel, part)) for novel in novels]) for part in PARTS]
    return LabelledTextSet("austen", "public domain; the package: MIT", NOVELS, *parts)


def passages(text: str) -> list[str]:
    """A text cut at ends of lines, each piece of `PASSAGE` characters or a little more; what is
    left at the end is left out."""
    found, length, lines = [], 0, []
    for line in text.splitlines(keepends=True):
        lines.append(line)
        length += len(line)
        if length >= PASSAGE:
            found.append("".join(lines).strip())
            length, lines = 0, []
    return found


def _labelled(by_class: Sequence[Sequence[str]]) -> LabelledTexts:
    labels = np.repeat(np.arange(len(by_class)), [len(texts) for texts in by_class])
    return LabelledTexts([text for texts in by_class for text in texts], labels)


def _folder(folder: Path) -> LabelledTextSet:
    """Raises UserError."""
    form = f"{folder}/CLASS.txt, a text in each line, or these in {folder}/train and {folder}/test"
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; expected {form}")
    given = [part for part in PARTS if (folder / part).is_dir()]
    ready = {"train", "test"} <= set(given)
    tops = [folder / part for part in given] if ready else [folder]
    with disk_errors("read", folder):
        classes = sorted({path.stem for top in tops for path in top.glob("[!.]*.txt")})
    if len(classes) < 2:
        raise UserError(f"{folder} has {len(classes)} classes, expected 2 or more: {form}")
    found: dict[str, list[list[str]]] = {part: [[] for _ in classes] for part in PARTS}
    for top in tops:
        for number, name in enumerate(classes):
            path = top / f"{name}.txt"
            lines = read_text(path).replace("\r", "\n").split("\n") if path.exists() else []
            for line in lines:
                if text := line.strip():
                    part = _part(text, top.name if ready else "", "validation" in given)
                    found[part][number].append(text)
    for part, by_class in found.items():
        if not any(by_class):
            count = sum(len(texts) for each in found.values() for texts in each)
            raise UserError(
                f"{folder} has {count} texts, too few: none of them falls into the {part} part"
            )
    for name, texts in zip(classes, found["train"], strict=True):
        if not texts:
            raise UserError(f"{folder}: class {name} has no text to learn from")
    parts = [_labelled(found[part]) for part in PARTS]
    return LabelledTextSet(folder.resolve().name, "not stated", tuple(classes), *parts)


def _part(text: str, top: str, validation: bool) -> str:
    """Of a line.

    Args:
        text: the line.
        top: the folder that decides, or ''.
        validation: whether that part has a folder, too.
    """
    place = fraction(text)
    if not top:
        return "validation" if place < 0.1 else "test" if place < 0.2 else "train"
    return "validation" if top == "train" and not validation and place < 0.1 else top
