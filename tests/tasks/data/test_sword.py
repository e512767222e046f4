"""Bibles in SWORD's format: what is read, how verses are paired, what damage is answered with."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from core.errors import UserError
from tasks.data import pairs
from tasks.data.pairs import load_pairs
from tasks.data.sword import FILES, plain_text, read_chapters

Testament = Mapping[str, Sequence[Sequence[str]]]
"""By book, its chapters, each of verses."""


def entries_of(testament: Testament) -> list[list[str]]:
    """Blocks of entries, one for each book, with the headings that the real modules have."""
    blocks = [["", '<milestone n="importer" type="x-importer"/>']]
    for book, chapters in testament.items():
        entries = [
            f'<div canonical="true" osisID="{book}" sID="g1" type="book"/> <title>{book}</title>'
        ]
        for number, verses in enumerate(chapters, 1):
            name = f"{book}.{number}"
            entries.append(
                f'<div sID="g2" type="x-p"/><chapter n="1" osisID="{name}" sID="{name}"/>'
            )
            entries += verses
            entries[-1] += f'<chapter eID="{name}" osisID="{name}"/>'
        entries[-1] += '<div eID="g1" osisID="x" type="book"/> Glossary.'
        blocks.append(entries)
    return blocks


def write_testament(folder: Path, part: str, blocks: Sequence[Sequence[str]]) -> None:
    """The three files of a testament."""
    folder.mkdir(parents=True, exist_ok=True)
    packed, index, places = b"", b"", b""
    for number, entries in enumerate(blocks):
        content = b""
        for entry in entries:
            data = entry.encode()
            places += struct.pack("<IIH", number, len(content), len(data))
            content += data
        block = zlib.compress(content)
        index += struct.pack("<III", len(packed), len(block), len(content))
        packed += block
    for ending, data in (("bzz", packed), ("bzs", index), ("bzv", places)):
        (folder / f"{part}.{ending}").write_bytes(data)


def write_module(folder: Path, old: Testament, new: Testament) -> None:
    """A whole module."""
    write_testament(folder, "ot", entries_of(old))
    write_testament(folder, "nt", entries_of(new))


OLD: Testament = {"Gen": [["uno", "", "tres"], ["otro"]], "Ps": [["salmo"]]}
NEW: Testament = {"Matt": [["nuevo", "último"]]}


def test_verses_are_named_by_their_chapters(tmp_path: Path) -> None:
    write_module(tmp_path, OLD, NEW)
    assert read_chapters(tmp_path) == {
        "Gen.1": ["uno", "", "tres"],
        "Gen.2": ["otro"],
        "Ps.1": ["salmo"],
        "Matt.1": ["nuevo", "último"],
    }


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ('<w lemma="strong:H1">In</w> <w lemma="strong:H2">the</w> <w>beginning</w>, ',
         "In the beginning,"),
        ('God<note placement="foot"><reference>1:1 </reference>Or: gods.</note><w>made</w>',
         "God made"),
        ("the sea<note>a</note>, and<note>b</note> &amp; it", "the sea, and & it"),
        ('<title type="section">The sea</title>Then', "Then"),
        ('<title canonical="true" type="psalm">A Psalm.</title> Lord', "A Psalm. Lord"),
        ('how long!<l eID="g1"/><l sID="g2"/>“Many', "how long! “Many"),
        ('<q who="x">“Come.”</q><w>Then</w> he <q>“Go</q>, or stay.”', "“Come.” Then he “Go, or "
         "stay.”"),
        ('Amen.<div eID="g1" type="book"/> Glossary <w>words</w>', "Amen."),
        ('Amen.<div eID="g1" type="x-p"/> <lb/>', "Amen."),
        ('<div eID="g1" type="x-p"/>', ""),
    ],
)  # fmt: skip
def test_text_without_markup(markup: str, text: str) -> None:
    assert plain_text(markup) == text


def cut(name: str, count: int) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:count])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "nt.bzs").unlink(), "could not read .*nt.bzs"),
        (cut("ot.bzv", 15), "ot.bzv has 15 bytes, expected records of 10"),
        (cut("ot.bzs", 0), "ot.bzs has 0 bytes, expected records of 12"),
        (cut("ot.bzz", 60), "ot.bzs does not belong to the file beside it"),
        (cut("ot.bzs", 12), "ot.bzv points behind the end of .*ot.bzz"),
        (lambda folder: (folder / "ot.bzz").write_bytes(b"x" * 9999), "not zlib-packed"),
        (lambda folder: (folder / "ot.bzs").write_bytes(struct.pack("<III", 0, 9, 1 << 30)),
         "ot.bzs does not belong to the file beside it"),
        (lambda folder: (folder / "ot.bzs").write_bytes(struct.pack("<III", 0, 40, 7)),
         "ot.bzz is truncated or damaged"),
        (lambda folder: write_module(folder, {}, {}), "holds no verses"),
        (lambda folder: write_module(folder, {"Gen": [["", ""]]}, {}), "holds no verses"),
    ],
)  # fmt: skip
def test_damaged_modules_are_one_line(
    tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    write_module(tmp_path, OLD, NEW)
    damage(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        read_chapters(tmp_path)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_entries_that_are_no_text_are_one_line(tmp_path: Path) -> None:
    write_module(tmp_path, OLD, NEW)
    content = b"\xff\xff"
    packed = zlib.compress(content)
    (tmp_path / "ot.bzz").write_bytes(packed)
    (tmp_path / "ot.bzs").write_bytes(struct.pack("<III", 0, len(packed), len(content)))
    (tmp_path / "ot.bzv").write_bytes(struct.pack("<IIH", 0, 0, len(content)))
    with pytest.raises(UserError, match=r"ot.bzz holds an entry that is not UTF-8 text"):
        read_chapters(tmp_path)


# ------------------------------------------------------------------ pairs of verses


def place_bibles(
    folder: Path, monkeypatch: pytest.MonkeyPatch, spanish: Testament, english: Testament
) -> None:
    """Both modules below $TENGEN_DATA, taken for the real ones."""
    monkeypatch.setenv("TENGEN_DATA", str(folder))
    digests = {}
    for language, testament in (("es", spanish), ("en", english)):
        module = folder / "bible" / pairs.BIBLES[language]
        write_module(module, testament, {})
        text = "\n".join(verse for verses in read_chapters(module).values() for verse in verses)
        digests[language] = hashlib.sha256(text.encode()).hexdigest()
    monkeypatch.setattr(pairs, "BIBLES_SHA256", digests)


def numbered(language: str, chapter: int, count: int = 150) -> list[str]:
    return [f"{language} {chapter} {verse}" for verse in range(count)]


def test_verses_are_paired_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spanish: dict[str, list[list[str]]] = {
        "Gen": [numbered("es", 1), numbered("es", 2), numbered("es", 3), numbered("es", 4)],
        "Exod": [numbered("es", 5), numbered("es", 6)],
    }
    english = {
        "Gen": [numbered("en", 1), numbered("en", 2), numbered("en", 3), numbered("en", 4)],
        "Tob": [numbered("en", 9)],
        "Exod": [numbered("en", 5), numbered("en", 6), numbered("en", 7)],
    }
    spanish["Gen"][1][-1] = ""  # its second chapter ends a verse earlier: the third begins with it
    english["Exod"][0][40] = ""  # not in this translation; verses after it keep their numbers
    place_bibles(tmp_path, monkeypatch, spanish, english)
    data = load_pairs("bible", "", "es", "en")
    parts = [data.train, data.validation, data.test]
    expected = {
        (f"es {chapter} {verse}", f"en {chapter} {verse}")
        for chapter in (1, 4, 5, 6)
        for verse in range(150)
        if (chapter, verse) != (5, 40)
    }
    found = [pair for part in parts for pair in zip(part.source, part.target, strict=True)]
    assert len(found) == len(expected) and set(found) == expected
    assert all(map(len, parts)) and len(data.train) > 500 and "public domain" in data.licence
    back = load_pairs("bible", "", "en", "es")
    for part, turned in zip(parts, (back.train, back.validation, back.test), strict=True):
        assert (part.source, part.target) == (turned.target, turned.source)
    assert data.digest() == load_pairs("bible", "", "es", "en").digest() != back.digest()


def test_other_editions_and_languages_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place_bibles(tmp_path, monkeypatch, {"Gen": [["uno"]]}, {"Gen": [["one"]]})
    with pytest.raises(UserError, match="1 pairs of sentences, too few"):
        load_pairs("bible", "", "es", "en")
    with pytest.raises(UserError, match=r"is in es and en, not in de and en: use --source-ending"):
        load_pairs("bible", "", "de", "en")
    monkeypatch.undo()
    monkeypatch.setenv("TENGEN_DATA", str(tmp_path))
    with pytest.raises(UserError, match=r"the text in .*spaRV1909eb is not the file of this data"):
        load_pairs("bible", "", "es", "en")


def test_missing_bibles_say_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TENGEN_DATA", raising=False)
    monkeypatch.setattr(pairs, "Path", lambda *parts: tmp_path / "absent")
    with pytest.raises(UserError, match="apt-get install sword-text-sparv sword-text-web") as error:
        load_pairs("bible", "", "es", "en")
    assert "\n" not in str(error.value)


def installed() -> bool:
    """Whether Debian's packages are on this machine."""
    root = Path("/usr/share/sword/modules/texts/ztext")
    return all(
        (root / module / file).is_file() for module in pairs.BIBLES.values() for file in FILES
    )


@pytest.mark.skipif(
    not installed(), reason="needs: apt-get install sword-text-sparv sword-text-web"
)
def test_the_real_bibles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TENGEN_DATA", raising=False)
    data = load_pairs("bible", "", "es", "en")
    assert [len(part) for part in (data.train, data.validation, data.test)] == [29213, 602, 615]
    english = {
        spanish: text
        for part in (data.train, data.validation, data.test)
        for spanish, text in zip(part.source, part.target, strict=True)
    }
    first = "EN el principio crió Dios los cielos y la tierra."
    last = "La gracia de nuestro Señor Jesucristo sea con todos vosotros. Amén."
    assert english[first] == "In the beginning, God created the heavens and the earth."
    assert english["Y lloró Jesús."] == "Jesus wept."
    assert english[last].startswith("The grace of the Lord Jesus Christ")
    for texts in zip(*english.items(), strict=True):
        assert not any(mark in text for text in texts for mark in "<>&\n")
    lengths = [sum(len(text.split()) for text in texts) / len(english)
               for texts in zip(*english.items(), strict=True)]  # fmt: skip
    assert lengths == pytest.approx([22.6, 24.2], abs=0.2)
