"""Files and folders that are there whole or not at all, and locks that die with the process that holds them.

Whatever is written is put together under a name of its own beside its place, `.<name>.<8 digits>.tmp`, forced to the
disk and renamed. Its writer locks it for as long, so that what a killed process left behind is told from what another
is still writing, and removed the next time that something is written there.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

WINDOWS = sys.platform == "win32"

_STRAY = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp", re.DOTALL)
_NAME_LENGTH = 40
"""Characters of its place's name in a temporary one; with more it might be too long."""
_LOCKED_BYTE = 1 << 30
"""Windows locks bytes against reading too: one far behind what a lock file says."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file for what is to be written, which takes its place when all went well, and is gone if not.

    Args:
        path: replaced whole; a link is replaced, not followed.

    Yields:
        An empty file in the same folder.

    Raises:
        OSError: it cannot be written; names it.
    """
    sweep(path.parent, path.name)
    temporary, handle = _new_file(path)
    try:
        yield temporary
        sync(temporary)
        if WINDOWS:  # where nothing that is open can be renamed
            os.close(handle)
            handle = -1
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as error:
        error.filename = str(path)  # of the temporary file, or of none, where the disk became full
        raise
    finally:
        if handle >= 0:
            os.close(handle)
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A temporary folder that takes its place when all went well, and is gone if not.

    Args:
        path: where nothing is, or an empty folder; its parents are made.

    Yields:
        An empty folder beside it.

    Raises:
        OSError: it cannot be written, or something is at `path` by then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent, path.name)
    temporary = _temporary(path)
    temporary.mkdir()
    handle = None if WINDOWS else os.open(temporary, os.O_RDONLY)
    try:
        if handle is not None:
            _try_lock(handle)
        yield temporary
        sync_folder(temporary)
        if path.is_dir():
            path.rmdir()
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        if handle is not None:
            os.close(handle)
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Likewise."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def append_text(path: Path, text: str) -> None:
    """Add to a file. A link there is not followed: a folder from somebody else may hold one to anywhere.

    Raises:
        OSError: it cannot be written.
    """
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    with os.fdopen(handle, "ab") as file:
        file.write(text.encode())


def sweep(folder: Path, name: str | None = None) -> None:
    """Remove what killed processes left behind in a folder; what somebody is writing now stays.

    Args:
        name: only what was to become that; None for all.
    """
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        match = _STRAY.fullmatch(entry.name)
        if match and (name is None or match[1] == name[:_NAME_LENGTH]):
            with suppress(OSError):
                if not _in_use(entry):
                    remove(Path(entry.path))


def remove(path: Path) -> None:
    """Remove a file, a link (not what it leads to), or a folder with all that is in it.

    Raises:
        OSError: it cannot be removed.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def is_file(path: Path) -> bool:
    """Whether there is a file; where a name is too long to be one, there is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def exists(path: Path) -> bool:
    """Likewise for a file or a folder."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk.

    Raises:
        OSError: the disk is full or broken, which some file systems say only now.
    """
    if WINDOWS and path.is_dir():
        return
    handle = os.open(path, os.O_RDWR if WINDOWS else os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some file systems cannot be asked.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Likewise for a folder and all that is in it."""
    for inside, _, names in os.walk(folder):
        for name in names:
            sync(Path(inside, name))
        sync(Path(inside))


class Held(Exception):
    """Somebody holds a lock.

    Attributes:
        holder: what they said of themselves, one line.
    """

    def __init__(self, holder: str):
        super().__init__(holder)
        self.holder = holder


@contextmanager
def holding(path: Path, holder: str) -> Iterator[None]:
    """Hold a lock. The operating system lets go of it when the process ends, however that happens, so that a file
    left behind locks nobody out. On file systems without locks nobody is kept out.

    Args:
        path: of the file that is locked; it stays.
        holder: who this is, one line, for others to read.

    Raises:
        Held: another process, or this one, holds it already.
        OSError: the file cannot be made.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    try:
        if not _try_lock(handle):
            raise Held(_told(path))
        os.ftruncate(handle, 0)
        os.write(handle, f"{holder}\n".encode())
        yield
    finally:
        os.close(handle)


def holder(path: Path) -> str | None:
    """Who holds a lock, as they said themselves; None where nobody does."""
    try:
        handle = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None
    try:
        return None if _try_lock(handle) else _told(path)
    finally:
        os.close(handle)


def _told(path: Path) -> str:
    """The line in a lock file, which may be anything."""
    with suppress(OSError), path.open("rb") as file:
        words = "".join(c if c.isprintable() else " " for c in file.read(200).decode("utf-8", "replace")).split()
        if words:
            return " ".join(words)
    return "another process"


def _in_use(entry: os.DirEntry[str]) -> bool:
    """Whether the writer of a temporary file or folder lives.

    Raises:
        OSError: that cannot be known here.
    """
    kind = entry.stat(follow_symlinks=False).st_mode
    if WINDOWS or stat.S_ISLNK(kind):  # Windows itself refuses to remove what is open
        return False
    handle = os.open(entry.path, os.O_NOFOLLOW | os.O_NONBLOCK | (os.O_RDWR if stat.S_ISREG(kind) else os.O_RDONLY))
    try:
        return not _lock(handle)
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    """Lock an open file until it is closed; False if somebody else has.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        if WINDOWS:
            import msvcrt

            os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            os.lseek(handle, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
            raise
        return False
    return True


def _try_lock(handle: int) -> bool:
    """Likewise, and True where there are no locks."""
    try:
        return _lock(handle)
    except OSError:
        return True


def _new_file(path: Path) -> tuple[Path, int]:
    """An empty locked file beside a path, and its handle."""
    while True:
        temporary = _temporary(path)
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        # Between its creation and its lock another process may have taken it for a dead one's.
        if WINDOWS or (_try_lock(handle) and temporary.exists()):
            return temporary, handle
        os.close(handle)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name[:_NAME_LENGTH]}.{secrets.token_hex(4)}.tmp")
