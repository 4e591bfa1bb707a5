"""How a worker and its parent talk: JSON messages over a socket, arrays in shared memory.

A message is four bytes of length (big-endian) and that much UTF-8 JSON. Memory is an unlinked file whose descriptor
is sent over the same socket: it has no name, and is gone when the last process that has it is.
"""

from __future__ import annotations

import json
import mmap
import os
import socket
import struct
import tempfile
from typing import Any, Sequence

import numpy as np

LONGEST = 1 << 26
"""Bytes of a message; a longer one is no message of ours."""

ALIGNED = 64

Arrays = Sequence[Sequence[Any]]
"""(name, type, shape) of each array in a memory."""


def send(end: socket.socket, message: dict) -> None:
    """Send a message."""
    data = json.dumps(message).encode()
    end.sendall(struct.pack(">I", len(data)) + data)


def receive(end: socket.socket) -> dict | None:
    """The next message; None where the other side is gone.

    Raises:
        ValueError: it is no message.
    """
    head = _exactly(end, 4)
    if head is None:
        return None
    (length,) = struct.unpack(">I", head)
    if length > LONGEST:
        raise ValueError(f"a message of {length} bytes")
    data = _exactly(end, length)
    return None if data is None else json.loads(data)


def _exactly(end: socket.socket, count: int) -> bytes | None:
    parts, missing = [], count
    while missing:
        try:
            part = end.recv(min(missing, 1 << 20))
        except ConnectionError:
            return None
        if not part:
            return None
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def send_memory(end: socket.socket, descriptor: int) -> None:
    """Send a memory's descriptor, after the message that announces it."""
    socket.send_fds(end, [b"m"], [descriptor])


def receive_memory(end: socket.socket) -> int:
    """The descriptor that was sent."""
    _, descriptors, _, _ = socket.recv_fds(end, 1, 1)
    return descriptors[0]


def new_memory(arrays: Arrays) -> int:
    """The descriptor of a memory that holds these arrays, all zero."""
    folder = "/dev/shm" if os.path.isdir("/dev/shm") and os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryFile(dir=folder) as file:
        file.truncate(max(_places(arrays)[1], 1))
        return os.dup(file.fileno())


def views(descriptor: int, arrays: Arrays) -> dict[str, np.ndarray]:
    """The arrays in a memory, shared with all who have it. The descriptor may be closed afterwards."""
    places, total = _places(arrays)
    memory = mmap.mmap(descriptor, max(total, 1))
    return {name: np.ndarray(tuple(shape), kind, memory, place) for (name, kind, shape), place in zip(arrays, places)}


def _places(arrays: Arrays) -> tuple[list[int], int]:
    """Where each array begins, and how many bytes there are in all."""
    places, total = [], 0
    for _, kind, shape in arrays:
        places.append(total)
        size = int(np.dtype(kind).itemsize * np.prod(shape, dtype=np.int64))
        total += -(-size // ALIGNED) * ALIGNED
    return places, total
