"""SGF as a tree of nodes (red-bean.com/sgf, FF[4]). Nothing here recurses: files may be deep.

Ordinary public files nest a variation for every move, and hostile ones nest without end, so there
are limits on everything, and a fault is one line with its place.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from core.errors import UserError

_CHARSET = re.compile(rb"(?<![A-Za-z])CA\s*\[([^\]]{1,40})\]")
_FIRST_NODE = re.compile(rb"\(\s*;")
# Possessive: a value that does not end would be remembered character by character.
_PROPERTY = re.compile(rb"\s*+([A-Za-z]++)((?:\s*+\[(?:[^\\\]]++|\\.)*+\])++)", re.DOTALL)
_WIDER = {
    "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949",
    "big5": "cp950",
}  # fmt: skip
"""Character sets that hold what files really contain when they name the narrower one."""
_CHARACTER_SETS = (
    "utf-8", "ascii", "iso8859", "cp", "shift", "euc", "gb", "big5", "koi8", "mac", "iso2022",
    "johab", "hz", "tis",
)  # fmt: skip
_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[A-Za-z]+")
_VALUE = re.compile(r"\[((?:[^\\\]]++|\\.)*+)\]", re.DOTALL)
_ESCAPE = re.compile(r"\\(\n|.)", re.DOTALL)
_SEARCHED_FOR_CHARSET = 4_096
_JUNK = re.compile(r"[^;()\[\]]+")
_MOST_WARNINGS = 100


class SgfError(UserError):
    """A file that is no SGF, or says what cannot be; the message has line and column."""


@dataclass(frozen=True)
class Limits:
    """What a file may hold before it is refused."""

    bytes: int = 4 << 20
    nodes: int = 100_000
    """Of one game."""
    depth: int = 10_000
    """Variations inside variations."""
    value_characters: int = 1 << 16
    games: int = 2_000


DEFAULT_LIMITS = Limits()


@dataclass(eq=False, slots=True)
class Node:
    """Properties by name, each with one or more values, escapes resolved; and what may follow."""

    properties: dict[str, list[str]] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """Of a game's root: what was passed over in reading it."""

    def get(self, name: str, default: str = "") -> str:
        """The first value of a property."""
        values = self.properties.get(name)
        return values[0] if values else default

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node):
            return NotImplemented
        pairs = [(self, other)]
        while pairs:
            one, two = pairs.pop()
            if one.properties != two.properties or len(one.children) != len(two.children):
                return False
            pairs.extend(zip(one.children, two.children, strict=True))
        return True

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Node({self.properties}, {len(self.children)} children)"

    def main_line(self) -> list[Node]:
        """This node and the first child of each."""
        line = [self]
        while line[-1].children:
            line.append(line[-1].children[0])
        return line


def parse(data: bytes, limits: Limits = DEFAULT_LIMITS) -> list[Node]:
    """Read a collection: the root of each game.

    Raises:
        SgfError: it is no SGF, or beyond the limits.
    """
    return list(each_game(data, limits))


def each_game(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Iterator[Node]:
    """The root of one game of a collection after the other; only one need be in memory.

    Raises:
        SgfError: as `parse`, when the fault is reached.
    """
    if len(data) > limits.bytes:
        raise SgfError(f"the file has {len(data):,} bytes; at most {limits.bytes:,} are read")
    yield from _Parser(decode(data), limits).games()


def decode(data: bytes) -> str:
    """Decode as UTF-8 where the file begins with its mark, whatever CA says: an editor saved it so;
    else by the file's CA property, else as UTF-8, else as Latin-1 (the format's default).

    Where none of these fits, the file's own is taken with U+FFFD in place of what it does not have.
    """
    marked = data.startswith(codecs.BOM_UTF8)
    data = data.removeprefix(codecs.BOM_UTF8)
    declared = "" if marked else _known(_declared(data))
    tried = [
        (declared, "strict"),
        ("utf-8", "strict"),
        (declared, "replace"),
        ("latin-1", "strict"),
    ]
    for name, errors in tried:
        try:
            if name:
                return data.decode(name, errors).replace("\r\n", "\n").replace("\r", "\n")
        except ValueError:
            continue
    raise SgfError("the file cannot be decoded")


def _known(name: str) -> str:
    """Python's name of a character set, or of a wider one; empty if there is none."""
    try:
        codec = codecs.lookup(name).name
    except (LookupError, ValueError):
        return ""
    # Python's codecs also unpack archives and the like; only character sets are wanted.
    return _WIDER.get(codec, codec) if codec.startswith(_CHARACTER_SETS) else ""


def _declared(data: bytes) -> str:
    """What the CA property of the first node says, not what a comment quotes."""
    start = _FIRST_NODE.search(data)
    at = start.end() if start else 0
    while match := _PROPERTY.match(data, at):
        if match[1] == b"CA":
            return match[2].strip()[1:-1].decode("latin-1").strip()[:40]
        at = match.end()
    if data[at:].lstrip()[:1] in (b";", b"(", b")", b""):
        return ""
    # The node cannot be followed to its end before its characters are known.
    found = _CHARSET.search(data[:_SEARCHED_FOR_CHARSET])
    return found[1].decode("latin-1").strip() if found else ""


class _Parser:
    """Walks through the text once, with a stack of the nodes that variations return to."""

    def __init__(self, text: str, limits: Limits) -> None:
        self.text, self.limits = text, limits
        self.at = 0
        self.nodes = 0
        self.line, self.line_start, self.counted = 1, 0, 0
        """The line of the last fault, where it starts, and up to where lines were counted."""
        self.warnings = ["some characters could not be read"] if "\ufffd" in text else []

    def games(self) -> Iterator[Node]:
        found = 0
        while (start := self._next_game()) >= 0:
            if found == self.limits.games:
                raise self._fault(f"more than {self.limits.games:,} games")
            self.at = start
            self.nodes = 0
            yield self._game()
            found += 1
        if not found:
            raise SgfError("there is no game in the file: SGF begins with '(;'")

    def _next_game(self) -> int:
        match = re.compile(r"\(\s*;").search(self.text, self.at)
        return match.start() if match else -1

    def _game(self) -> Node:
        """Read one game; `at` is on its '('."""
        root: Node | None = None
        node: Node | None = None
        branches: list[Node | None] = []
        fresh = False  # just after '(': a ';' has to follow
        while True:
            self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]
            if self.at >= len(self.text):
                if root is None or fresh:
                    raise self._fault("the file ends inside a game")
                self._warn("the file ends inside a game; ')' is missing")
                return self._finished(root)
            symbol = self.text[self.at]
            if fresh and symbol != ";":
                raise self._fault(f"a variation must begin with ';', not {symbol!r}")
            if symbol == "(":
                if len(branches) == self.limits.depth:
                    raise self._fault(f"variations nested more than {self.limits.depth:,} deep")
                branches.append(node)
                fresh = True
                self.at += 1
            elif symbol == ";":
                self.at += 1
                fresh = False
                following = self._node()
                if node is None:
                    root = root or following
                else:
                    node.children.append(following)
                node = following
            elif symbol == ")":
                self.at += 1
                node = branches.pop()
                if not branches:
                    assert root is not None
                    return self._finished(root)
            else:
                self._pass_over(symbol)

    def _pass_over(self, symbol: str) -> None:
        """Go on behind what stands between nodes and is none."""
        junk = _JUNK.match(self.text, self.at)
        if junk is None:
            raise self._fault(f"{symbol!r} stands where ';', '(' or ')' should")
        self._warn(f"{junk[0].strip()[:20]!r} between nodes is passed over")
        self.at = junk.end()

    def _finished(self, root: Node) -> Node:
        """The root, with the warnings of its game."""
        root.warnings, self.warnings = self.warnings, []
        return root

    def _warn(self, what: str) -> None:
        if len(self.warnings) < _MOST_WARNINGS:
            self.warnings.append(str(self._fault(what)))

    def _node(self) -> Node:
        """Read the properties after a ';'."""
        self.nodes += 1
        if self.nodes > self.limits.nodes:
            raise self._fault(f"more than {self.limits.nodes:,} nodes")
        node = Node()
        while True:
            self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]
            match = _NAME.match(self.text, self.at)
            if match is None:
                return node
            # FF[3] files write SiZe; only capitals count.
            name = "".join(letter for letter in match[0] if letter.isupper())
            if not name:
                raise self._fault(f"a property is named {match[0]!r}, without a capital")
            self.at = match.end()
            node.properties.setdefault(name, []).extend(self._values(name))

    def _values(self, name: str) -> list[str]:
        values = []
        while True:
            space = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]
            if self.text[space : space + 1] != "[":
                break
            self.at = space
            match = _VALUE.match(self.text, self.at)
            if match is None:
                raise self._fault(f"the value of {name} is not closed by ']'")
            if len(match[1]) > self.limits.value_characters:
                raise self._fault(f"the value of {name} is {len(match[1]):,} characters long")
            values.append(_ESCAPE.sub(lambda m: "" if m[1] == "\n" else m[1], match[1]))
            self.at = match.end()
        if not values:
            raise self._fault(f"the property {name} has no value")
        return values

    def _fault(self, what: str) -> SgfError:
        self.line += self.text.count("\n", self.counted, self.at)
        self.line_start = max(self.line_start, self.text.rfind("\n", self.counted, self.at) + 1)
        self.counted = self.at
        return SgfError(f"line {self.line}, column {self.at - self.line_start + 1}: {what}")


def serialise(games: list[Node]) -> bytes:
    """Write a collection as UTF-8, a node a line; variations only where a node has several."""
    parts: list[str] = []
    for root in games:
        # What is still to write, the next at the end: nodes, and the marks around variations.
        todo: list[Node | str] = [")\n", root, "("]
        while todo:
            item = todo.pop()
            if isinstance(item, str):
                parts.append(item)
                continue
            properties = item.properties
            if item is root:
                properties = {**properties, "CA": ["UTF-8"]}
            parts.append(";" + "".join(_property(*pair) for pair in properties.items()) + "\n")
            if len(item.children) == 1:
                todo.append(item.children[0])
            else:
                for child in reversed(item.children):
                    todo.extend((")\n", child, "("))
    return "".join(parts).encode()


def _property(name: str, values: list[str]) -> str:
    escaped = (value.replace("\\", "\\\\").replace("]", "\\]") for value in values)
    return name + "".join(f"[{value}]" for value in escaped)
