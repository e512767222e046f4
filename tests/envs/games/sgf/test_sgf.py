"""SGF: what the format says, what files in the wild do, and what no file may do to us."""

from __future__ import annotations

import codecs
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.games.sgf.record import (
    BLACK,
    WHITE,
    GameRecord,
    read_records,
    record_of,
    tree_of,
    write_records,
)
from envs.games.sgf.tree import Limits, Node, SgfError, parse, serialise


def one(text: str) -> GameRecord:
    (root,) = parse(text.encode())
    return record_of(root)


def test_the_places_of_many_faults_are_counted_on() -> None:
    text = "(;SZ[9]\n;B[aa]-\n\n+;W[bb] + \n;B[cc])\n(;SZ[9];B[aa]\n*;W[bb])"
    first, second = parse(text.encode())
    places = [fault.rsplit(":", 1)[0] for root in (first, second) for fault in root.warnings]
    # What is passed over reaches to the next ';', so the sign on line 4 is part of the first.
    assert places == ["line 2, column 7", "line 4, column 9", "line 7, column 1"]


def test_a_game() -> None:
    record = one(
        "(;FF[4]GM[1]SZ[9]KM[6.5]RU[Chinese]PB[Ann]BR[3d]PW[Bo]RE[B+3.5]DT[2026-01-02]TM[600]OT[5x30]"
        "HA[0];B[ee]C[centre];W[gc];B[];W[tt]C[end])"
    )
    assert (record.size, record.komi, record.rules, record.result) == (9, 6.5, "Chinese", "B+3.5")
    assert (record.black, record.black_rank, record.white) == ("Ann", "3d", "Bo")
    assert (record.date, record.time_limit_seconds, record.overtime) == (
        "2026-01-02",
        600.0,
        "5x30",
    )
    assert record.moves == ((BLACK, 40), (WHITE, 24), (BLACK, None), (WHITE, None))
    assert record.comments == {1: "centre", 4: "end"}


def test_variations_are_kept_and_the_first_is_the_game() -> None:
    (root,) = parse(b"(;SZ[9];B[aa](;W[bb];B[cc])(;W[dd]))")
    assert [len(node.children) for node in root.main_line()] == [1, 2, 1, 0]
    assert record_of(root).moves == ((1, 0), (2, 10), (1, 20))


def test_a_variation_for_every_move_is_an_ordinary_game() -> None:
    moves = "".join(f"(;{'BW'[i % 2]}[{chr(97 + i % 9)}{chr(97 + i // 9)}]" for i in range(80))
    assert len(one(f"(;SZ[9]{moves}{')' * 80})").moves) == 80


def test_escapes_and_line_breaks() -> None:
    record = one("(;SZ[9]C[a\\]b\\\\c\\:d\\\ne\nf]PB[two\nlines])")
    assert record.comments == {0: "a]b\\c:de\nf"}
    assert record.black == "two lines"


def test_several_games_garbage_and_old_names() -> None:
    data = b"mail header (not a game) \n(;GaMe[1]SiZe[9];Black[aa])junk(;SZ[5];B[ab])tail"
    assert [len(record_of(root).moves) for root in parse(data)] == [1, 1]
    assert [record_of(root).size for root in parse(data)] == [9, 5]


@pytest.mark.parametrize("charset", ["UTF-8", "latin-1", "gb2312", "shift_jis", "big5", "euc-kr"])
def test_character_sets(charset: str) -> None:
    name = {"latin-1": "Åsa", "euc-kr": "이세돌", "UTF-8": "Åsa 李"}.get(charset, "表能")
    text = f"(;CA[{charset}]SZ[9]PB[{name}])"
    data = (
        text.encode(charset)
        if charset != "gb2312"
        else text.replace("表能", "李昌").encode(charset)
    )
    (root,) = parse(data)
    assert root.get("PB") == ("李昌" if charset == "gb2312" else name)


@pytest.mark.parametrize(
    "charset", ["no-such", "rot13", "hex", "zlib", "undefined", "idna", "utf-7", "unicode_escape"]
)
def test_odd_character_sets_fall_back(charset: str) -> None:
    (root,) = parse(f"(;CA[{charset}]SZ[9]PB[Åsa])".encode())
    assert root.get("PB") == "Åsa"


def test_an_editor_that_saves_as_utf8_leaves_the_old_name() -> None:
    (root,) = parse(codecs.BOM_UTF8 + "(;SZ[9]CA[GB2312]PB[山];B[aa])".encode())
    assert root.get("PB") == "山" and len(record_of(root).moves) == 1


def test_what_is_no_file_of_that_size_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "huge.sgf"
    with file.open("wb") as sparse:
        sparse.truncate(1 << 40)
    for path in (file, Path("/dev/zero")):
        with pytest.raises(SgfError, match=str(path)):
            read_records(path)


def test_setup_stones() -> None:
    record = one("(;SZ[9]HA[2]AB[aa:bb][ii]AE[ba]AW[cc];W[dd])")
    assert record.black_stones == (0, 9, 10, 80)
    assert (record.white_stones, record.to_move) == ((20,), WHITE)
    assert one("(;SZ[9]AB[aa])").to_move == WHITE
    assert one("(;SZ[9]AB[aa]PL[B])").to_move == BLACK


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no game in the file"),
        ("hello", "no game in the file"),
        ("(;SZ[9", "line 1, column 5: the value of SZ is not closed"),
        ("(;SZ[9]\n;B[aa](B[bb]))", "line 2, column 8: a variation must begin with ';'"),
        ("(;SZ[9];B)", "the property B has no value"),
        ("(;SZ[9];b[aa])", "without a capital"),
        ("(;SZ[9]]", "']' stands where"),
        ("(;SZ[9];B[zz])", "is no point of a board of 9 lines"),
        ("(;SZ[9];B[abc])", "is no point"),
        ("(;SZ[0])", "boards of 1 to 19"),
        ("(;SZ[99999999999])", "boards of 1 to 19"),
        ("(;SZ[9:13])", "no square board"),
        ("(;SZ[nine])", "no square board"),
        ("(;GM[2])", "'2' is not Go"),
    ],
)
def test_faults_are_one_line_with_their_place(text: str, fault: str) -> None:
    with pytest.raises(SgfError) as error:
        one(text)
    assert fault in str(error.value)
    assert "\n" not in str(error.value)


def test_komi_of_every_kind() -> None:
    komi = [one(f"(;KM[{text}])").komi for text in ("", "6,5", "+5.5", "-3", "7.5 points", ".5")]
    assert komi == [0.0, 6.5, 5.5, -3.0, 7.5, 0.5]


def test_limits() -> None:
    small = Limits(bytes=100, nodes=5, depth=3, value_characters=10, games=2)
    for text, fault in [
        ("(;C[" + "x" * 200 + "])", "bytes"),
        ("(" + ";" * 6 + ")", "more than 5 nodes"),
        ("(;" * 5, "nested more than 3 deep"),
        ("(;C[" + "x" * 11 + "])", "11 characters"),
        ("(;)(;)(;)", "more than 2 games"),
    ]:
        with pytest.raises(SgfError, match=fault):
            parse(text.encode(), small)


def test_deep_files_do_not_overflow() -> None:
    deep = b"(;B[aa]" * 9_999 + b")" * 9_999
    (root,) = parse(deep)
    (again,) = parse(serialise([root]))
    assert again.main_line()[-1].get("B") == "aa"
    with pytest.raises(SgfError, match="nested"):
        parse(b"(;B[aa]" * 200_000)
    long = b"(" + b";B[aa]" * 99_999 + b")"
    assert len(parse(long)[0].main_line()) == 99_999
    del root, again


texts = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=12)
names = st.from_regex(r"[A-BD-Z][A-Z]?", fullmatch=True)
nodes = st.recursive(
    st.builds(Node, st.dictionaries(names, st.lists(texts, min_size=1, max_size=3), max_size=3)),
    lambda children: st.builds(
        lambda node, below: Node(node.properties, below),
        st.builds(Node, st.dictionaries(st.just("B"), st.lists(texts, min_size=1, max_size=1))),
        st.lists(children, max_size=3),
    ),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=200)
@given(st.lists(nodes, min_size=1, max_size=3))
def test_trees_survive_being_written(roots: list[Node]) -> None:
    for root in roots:
        root.properties["CA"] = ["UTF-8"]
    assert parse(serialise(roots)) == roots


@settings(max_examples=200)
@given(st.data())
def test_records_survive_being_written(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 19))
    cells = st.integers(0, size * size - 1)
    stones = data.draw(st.lists(cells, max_size=6, unique=True))
    black = tuple(sorted(stones[: len(stones) // 2]))
    white = tuple(sorted(stones[len(stones) // 2 :]))
    moves = data.draw(st.lists(st.tuples(st.sampled_from([1, 2]), st.none() | cells), max_size=9))
    name = data.draw(texts.map(lambda text: " ".join(text.split())))
    record = GameRecord(
        size=size,
        komi=data.draw(st.integers(-20, 20)) / 2,
        black=name,
        result="B+0.5",
        black_stones=black,
        white_stones=white,
        to_move=moves[0][0] if moves else data.draw(st.sampled_from([1, 2])),
        moves=tuple(moves),
        comments={len(moves): "the end"},
    )
    (root,) = parse(serialise([tree_of(record)]))
    assert record_of(root) == record


def test_files(tmp_path: Path) -> None:
    records = [GameRecord(size=9, moves=((1, 40),)), GameRecord(size=5, komi=7.5)]
    write_records(tmp_path / "two.sgf", records)
    assert read_records(tmp_path / "two.sgf") == records
    (tmp_path / "bad.sgf").write_text("(;SZ[9")
    with pytest.raises(SgfError, match=r"bad\.sgf: line 1"):
        read_records(tmp_path / "bad.sgf")
    with pytest.raises(SgfError, match=r"none\.sgf: No such file"):
        read_records(tmp_path / "none.sgf")


SEEDS = [
    b"(;FF[4]GM[1]SZ[9]KM[6.5]CA[UTF-8]AB[aa:cc][dd]AW[ee];W[ff]C[a\\]b];B[](;B[gg])(;B[hh]))",
    b";;)", b"(;;)", b"(;SZ[])", b"(;CA[utf-16]SZ[19])", b"(;B[aa]\\]", "(;PB[李])".encode(),
    b"(;C[\\",
]  # fmt: skip


def test_a_hundred_thousand_hostile_files() -> None:
    draw = random.Random(20)
    alphabet = b"();[]\\:ABCKMSZWE abstz019.\n\r\x00\xff\xc3"
    read = refused = 0
    for number in range(100_000):
        if number % 2:
            data = bytearray(draw.choice(SEEDS))
            for _ in range(draw.randint(1, 4)):
                place = draw.randrange(len(data) + 1)
                data[place : place + draw.randint(0, 3)] = bytes(draw.choices(alphabet, k=2))
        else:
            data = bytearray(draw.choices(alphabet, k=draw.randint(0, 30)))
            data[:0] = b"(;" * (number % 3)
        try:
            for root in parse(bytes(data)):
                record_of(root)
            read += 1
        except SgfError as error:
            refused += 1
            assert "\n" not in str(error)
    assert read > 5_000
    assert refused > 5_000


def test_main_lines_agree_with_sgfmill() -> None:
    sgf = pytest.importorskip("sgfmill.sgf")
    draw = random.Random(3)
    for _ in range(200):
        size = draw.choice([5, 9, 13, 19])
        moves = tuple(
            (draw.choice([1, 2]), draw.choice([None, draw.randrange(size * size)]))
            for _ in range(draw.randrange(30))
        )
        record = GameRecord(size=size, komi=draw.randrange(20) / 2, black="A]\\b", moves=moves)
        theirs = sgf.Sgf_game.from_bytes(serialise([tree_of(record)]))
        assert (theirs.get_size(), theirs.get_komi()) == (size, record.komi)
        assert theirs.get_player_name("b") == record.black
        found = []
        for node in theirs.get_main_sequence()[1:]:
            colour, place = node.get_move()
            cell = None if place is None else (size - 1 - place[0]) * size + place[1]
            found.append(({"b": 1, "w": 2}[colour], cell))
        assert tuple(found) == moves
        (root,) = parse(theirs.serialise())
        assert record_of(root).moves == moves
