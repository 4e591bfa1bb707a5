"""A pickle reader that runs nothing: numbers, texts, lists, dictionaries and numpy arrays of numbers.

A pickle is a program for a stack machine, and the usual machine lets it call anything. This one has no way
to: the opcodes are told apart by the standard library's disassembler and carried out here on plain values,
and the few names an array needs are looked up in a table, never imported. Sizes are checked against the bytes
that are there, so that a file cannot ask for more memory than it has.
"""

from __future__ import annotations

import io
import math
import os
import pickletools
import reprlib
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from llarp_cli.errors import UsageProblem

MAX_BYTES = 64 << 20
"""Larger files are refused unread. A released evaluation file has less than one million bytes."""
MAX_STEPS = 5_000_000
"""More opcodes are refused. A released evaluation file has some 50,000."""

_POINTER = b"version https://git-lfs"
_LARGEST = 1 << 63
_DTYPES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8")
_BYTE_ORDERS = ("<", ">", "|", "=")


class _Name(Enum):
    """The names that a pickled array is made of."""

    RECONSTRUCT = "_reconstruct"
    FROM_BUFFER = "_frombuffer"
    NDARRAY = "ndarray"
    DTYPE = "dtype"


_NAMES = {
    ("numpy", "ndarray"): _Name.NDARRAY,
    ("numpy", "dtype"): _Name.DTYPE,
    ("numpy.core.multiarray", "_reconstruct"): _Name.RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _Name.RECONSTRUCT,
    ("numpy.core.numeric", "_frombuffer"): _Name.FROM_BUFFER,
    ("numpy._core.numeric", "_frombuffer"): _Name.FROM_BUFFER,
}

_VALUES = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MEMO_OPCODES = ("PUT", "BINPUT", "LONG_BINPUT")
_RECALL_OPCODES = ("GET", "BINGET", "LONG_BINGET")

_short = reprlib.Repr()
_short.maxlevel, _short.maxstring, _short.maxother = 1, 60, 60


class _Refused(Exception):
    """What the pickle wants that is not given."""


class _Damaged(Exception):
    """The pickle makes no sense."""


class _Unbuilt:
    """An array or dtype between its creation and its BUILD; `slots` of the memo hold it."""

    def __init__(self, code: str | None):
        self.code = code
        self.slots: list[int] = []


def content(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file.

    Raises:
        UsageProblem: it cannot be read, is empty, or has more than `MAX_BYTES`.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise UsageProblem(f"'{path}' is no file", "name a released episode file, e.g. new_scenes.pickle")
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageProblem(f"cannot read '{path}': {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise UsageProblem(
            f"{path}: larger than {MAX_BYTES >> 20} MiB",
            "evaluation files have less than 1 MB; the training file is too large: `llarp train` makes its own tasks",
        )
    if not data:
        raise UsageProblem(f"{path} is empty", "expected a released episode file, e.g. new_scenes.pickle")
    if data.startswith(_POINTER):
        raise UsageProblem(f"{path} is a Git LFS pointer, not the file itself", "`git lfs pull` fetches the file")
    return data


def unpickle(data: bytes, path: str | os.PathLike[str]) -> Any:
    """What a pickle holds.

    Args:
        data: its bytes, at most `MAX_BYTES`.
        path: of its file, for messages.

    Returns:
        None, bool, int (below 2⁶³), float, str, bytes, tuple, list, dict (keyed by str or int) and read-only
        arrays of booleans, whole numbers or floats, nested in each other.

    Raises:
        UsageProblem: it is damaged, too long, or wants anything else; nothing in it was run.
    """
    machine = _Machine()
    position = 0
    try:
        for steps, (opcode, argument, at) in enumerate(pickletools.genops(io.BytesIO(data))):
            position = at or 0
            if steps == MAX_STEPS:
                raise _Refused(f"more than {MAX_STEPS:,} steps")
            machine.step(opcode.name, argument)
        return machine.result()
    except _Refused as refused:
        raise UsageProblem(
            f"{path}: refused, because it asks for {refused}",
            "a released episode file holds numpy arrays, lists, dictionaries, texts and numbers; nothing was run",
        ) from None
    except (_Damaged, ValueError, IndexError, KeyError):
        raise UsageProblem(
            f"{path}: no pickle, or damaged or cut short, at byte {position} of {len(data)}",
            "expected a released episode file, e.g. new_scenes.pickle; fetch it again",
        ) from None


def shown(value: Any) -> str:
    """Any value that `unpickle` gives, as it may be quoted in one line."""
    if isinstance(value, np.ndarray):
        return f"an array {value.dtype} {list(value.shape)}"
    text = " ".join(_short.repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."


class _Machine:
    """The stack machine."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def result(self) -> Any:
        if len(self.stack) != 1:
            raise _Damaged
        return self.stack[0]

    def step(self, opcode: str, argument: Any) -> None:
        """Carry out one opcode."""
        stack = self.stack
        if opcode in _VALUES:
            if type(argument) is int and abs(argument) >= _LARGEST:
                raise _Refused("a whole number of more than 64 bits")
            stack.append(argument)
        elif opcode in _CONSTANTS:
            stack.append(_CONSTANTS[opcode])
        elif opcode in _RECALL_OPCODES:
            stack.append(self.memo[argument])
        elif opcode == "MEMOIZE":
            self._remember(len(self.memo))
        elif opcode in _MEMO_OPCODES:
            self._remember(argument)
        elif opcode == "MARK":
            self.marks.append(len(stack))
        elif opcode == "EMPTY_LIST":
            stack.append([])
        elif opcode == "EMPTY_DICT":
            stack.append({})
        elif opcode == "EMPTY_TUPLE":
            stack.append(())
        elif opcode == "TUPLE":
            stack.append(tuple(self._since_mark()))
        elif opcode in _SHORT_TUPLES:
            stack.append(tuple(self._last(_SHORT_TUPLES[opcode])))
        elif opcode == "LIST":
            stack.append(self._since_mark())
        elif opcode == "DICT":
            items = self._since_mark()
            stack.append({})
            self._set(items)
        elif opcode == "APPEND":
            self._extend(self._last(1))
        elif opcode == "APPENDS":
            self._extend(self._since_mark())
        elif opcode == "SETITEM":
            self._set(self._last(2))
        elif opcode == "SETITEMS":
            self._set(self._since_mark())
        elif opcode == "GLOBAL":
            stack.append(_named(*argument.partition(" ")[::2]))
        elif opcode == "STACK_GLOBAL":
            stack.append(_named(*self._last(2)))
        elif opcode == "REDUCE":
            stack.append(_called(*self._last(2)))
        elif opcode == "BUILD":
            self._build(self._last(1)[0])
        elif opcode == "INST":
            raise _Refused(shown(argument.replace(" ", ".")))
        elif opcode not in ("PROTO", "FRAME", "STOP"):
            what = "" if argument is None else f" ({shown(argument)})"
            raise _Refused(f"the pickle operation {opcode}{what}")

    def _last(self, count: int) -> list[Any]:
        """Take the last values off the stack."""
        if len(self.stack) < count:
            raise _Damaged
        taken = self.stack[-count:]
        del self.stack[-count:]
        return taken

    def _since_mark(self) -> list[Any]:
        start = self.marks.pop()
        taken = self.stack[start:]
        del self.stack[start:]
        return taken

    def _remember(self, slot: int) -> None:
        value = self.stack[-1]
        self.memo[slot] = value
        if isinstance(value, _Unbuilt):
            value.slots.append(slot)

    def _extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise _Damaged
        self.stack[-1].extend(items)

    def _set(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict or len(items) % 2:
            raise _Damaged
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) not in (str, int):
                raise _Refused(f"a dictionary keyed by {type(key).__name__}")
            target[key] = value

    def _build(self, state: Any) -> None:
        """Complete the array or dtype on top of the stack, wherever the memo holds it."""
        unbuilt = self.stack[-1]
        if not isinstance(unbuilt, _Unbuilt):
            raise _Refused(f"a state for {shown(unbuilt)}")
        if type(state) is not tuple:
            raise _Refused("an array of an unknown form")
        self.stack[-1] = built = _dtype(unbuilt.code, state) if unbuilt.code else _array(*_array_state(state))
        for slot in unbuilt.slots:
            self.memo[slot] = built


def _named(module: Any, name: Any) -> _Name:
    if type(module) is not str or type(name) is not str:
        raise _Damaged
    if (module, name) not in _NAMES:
        raise _Refused(shown(f"{module}.{name}"))
    return _NAMES[module, name]


def _called(function: Any, arguments: Any) -> Any:
    """What a call gives: an array or dtype to be built, or an array from its bytes."""
    if type(arguments) is not tuple:
        raise _Damaged
    if function is _Name.RECONSTRUCT and arguments and arguments[0] is _Name.NDARRAY:
        return _Unbuilt(None)
    if function is _Name.DTYPE and arguments and type(arguments[0]) is str:
        if arguments[0] not in _DTYPES:
            raise _Refused(f"an array of type {shown(arguments[0])}")
        return _Unbuilt(arguments[0])
    if function is _Name.FROM_BUFFER and len(arguments) == 4:
        data, dtype, shape, order = arguments
        return _array(shape, dtype, order == "F", data)
    raise _Refused(f"a call of {function.value if isinstance(function, _Name) else shown(function)}")


def _dtype(code: str, state: tuple[Any, ...]) -> np.dtype[Any]:
    plain = len(state) >= 5 and all(part is None for part in state[2:5])
    if not plain or type(state[1]) is not str or state[1] not in _BYTE_ORDERS:
        raise _Refused("an array of an unknown form")
    order = "" if state[1] == "|" else state[1]
    return np.dtype(order + code)


def _array_state(state: tuple[Any, ...]) -> tuple[Any, Any, bool, Any]:
    if len(state) != 5:
        raise _Refused("an array of an unknown form")
    _, shape, dtype, fortran, data = state
    return shape, dtype, fortran is True, data


def _array(shape: Any, dtype: Any, fortran: bool, data: Any) -> np.ndarray[Any, Any]:
    """An array over bytes that are there, read-only."""
    if not isinstance(dtype, np.dtype) or type(shape) is not tuple or type(data) not in (bytes, bytearray):
        raise _Refused("an array of an unknown form")
    if len(shape) > 8 or any(type(size) is not int or size < 0 for size in shape):
        raise _Refused(f"an array of shape {shown(shape)}")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise _Refused(f"an array of shape {shown(shape)} in {len(data)} bytes")
    # A zero among huge sizes: nothing to hold, yet numpy cannot count it.
    if math.prod(size for size in shape if size) >= _LARGEST:
        raise _Refused(f"an array of shape {shown(shape)}")
    return np.ndarray(shape, dtype, bytes(data), order="F" if fortran else "C")
