"""Read the pickles of strangers without running anything: their opcodes, not their objects.

A pickle is a program for a small stack machine. Here the machine knows only how to build dicts,
lists, tuples, strings, numbers, booleans and None; a pickle that asks for more, such as a class or
a call, is refused.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any

from core.errors import UserError

_PUSH = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "SHORT_BINUNICODE", "BINUNICODE",
}  # fmt: skip
_NEW: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "NONE": lambda: None,
    "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
}  # fmt: skip
_NOTHING = {"PROTO", "FRAME", "STOP"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def read(content: bytes, what: str) -> Any:
    """The value in a pickle. The same object may stand in several places of it.

    Args:
        content: the bytes of a pickle.
        what: how messages name it.

    Raises:
        UserError: it is damaged, or holds anything but plain values.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if not machine.step(opcode.name, argument):
                raise UserError(
                    f"{what} is a pickle that holds more than plain values ({opcode.name}); it "
                    "could run code and is not read"
                )
        (value,) = machine.stack
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{what} is not a whole pickle of plain values: {error}") from None
    return value


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        """Stacks under the marks."""
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> bool:
        """Do what an opcode says; False for one that is not known here."""
        if name in _PUSH:
            self.stack.append(argument)
        elif name in _NEW:
            self.stack.append(_NEW[name]())
        elif name == "MARK":
            self.below.append(self.stack)
            self.stack = []
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name in _NOTHING:
            pass
        else:
            return self._build(name)
        return True

    def _build(self, name: str) -> bool:
        if name == "APPENDS":
            items = self._since_mark()
            _of(list, self.stack[-1]).extend(items)
        elif name == "APPEND":
            item = self.stack.pop()
            _of(list, self.stack[-1]).append(item)
        elif name == "SETITEMS":
            pairs = self._since_mark()
            _of(dict, self.stack[-1]).update(zip(pairs[::2], pairs[1::2], strict=True))
        elif name == "SETITEM":
            key, item = self.stack.pop(-2), self.stack.pop()
            _of(dict, self.stack[-1])[key] = item
        elif name == "TUPLE":
            items = self._since_mark()
            self.stack.append(tuple(items))
        elif name in _TUPLES:
            items = [self.stack.pop() for _ in range(_TUPLES[name])][::-1]
            self.stack.append(tuple(items))
        else:
            return False
        return True

    def _since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(f"expected a {kind.__name__}, found a {type(value).__name__}")
    return value
