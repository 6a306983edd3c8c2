"""Files that survive a power cut: atomic writes, published folders, digests, and sizes a person can read.

The rule behind every write here: write aside, fsync the file, fsync the folder, rename, fsync the parent.
After that order a name exists only when its content is whole. Knows nothing of runs, stages or tensors.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from workbench.errors import BadInput, DiskFull, NoSpace

TEMPORARY_PREFIX = ".tmp-"
TRASH_PREFIX = ".trash-"
_SELF = Path("/proc/self/status")
_FULL_ERRNOS = {errno.ENOSPC, errno.EDQUOT}
_DISK_ERRNOS = {*_FULL_ERRNOS, errno.EROFS, errno.EIO, errno.EFBIG}
# Native code tells of a full disk in words of its own.
_FULL_WORDS = ("no space left", "os error 28", "disk is full")


@contextlib.contextmanager
def disk_errors_named(path: Path) -> Iterator[None]:
    """Turn "no space", "read-only" and I/O errors of the block into one line naming `path`.

    Raises DiskFull where room would help, NoSpace for the others.
    """
    try:
        yield
    except OSError as error:
        if named := disk_error(error, path):
            raise named from error
        raise


def disk_error(error: Exception, path: Path) -> NoSpace | None:
    """The error that says in one line how the disk refused to take `path`; None when `error` is of another kind."""
    number = error.errno if isinstance(error, OSError) else None
    if number in _FULL_ERRNOS or any(words in str(error).lower() for words in _FULL_WORDS):
        told = os.strerror(number or errno.ENOSPC)
        return DiskFull(f"cannot write: {told}", file=path, fix="free some space on this disk")
    if number in _DISK_ERRNOS:
        fix = "see to the disk or choose another --home, then run the same command again"
        return NoSpace(f"cannot write: {os.strerror(number)}", file=path, fix=fix)
    return None


def fsync_file(path: Path) -> None:
    """Make the content of `path` durable."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def fsync_folder(folder: Path) -> None:
    """Make the names inside `folder` durable (a rename is not until its folder is synced)."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folders(folder: Path) -> None:
    """Create `folder` and whatever is missing above it, durably; fine if it is there. Raises NoSpace."""
    missing = [folder, *folder.parents]
    missing = missing[: next(i for i, each in enumerate(missing) if each.is_dir())]
    with disk_errors_named(folder):
        for each in reversed(missing):
            each.mkdir(exist_ok=True)
            fsync_folder(each.parent)


def write_atomic(path: Path, content: bytes | str, *, durable: bool = True) -> None:
    """Replace `path` by `content` so that a reader sees the old or the new file, never a part.

    `durable=False` leaves out the fsyncs: right for a heartbeat, wrong for anything that must survive.
    Raises NoSpace when the disk refuses.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{path.name}-{secrets.token_hex(4)}")
    with disk_errors_named(path):
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            os.rename(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        if durable:
            fsync_folder(path.parent)


def publish_folder(building: Path, final: Path) -> None:
    """Give the finished folder `building` its name `final`: fsync all of it, rename, fsync the parent.

    Raises FileExistsError if `final` is already there, NoSpace when the disk refuses.
    """
    with disk_errors_named(final):
        honour_umask(building)
        for root, _, names in os.walk(building):
            for name in names:
                fsync_file(Path(root) / name)
            fsync_folder(Path(root))
        if final.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final))
        os.rename(building, final)
        fsync_folder(final.parent)


def honour_umask(folder: Path) -> None:
    """Give every file in `folder` the mode this user's umask asks for (safetensors writes 0600 regardless)."""
    mode = 0o666 & ~_umask()
    for root, _, names in os.walk(folder):
        for name in names:
            os.chmod(Path(root) / name, mode)


def _umask() -> int:
    """What this process takes from the mode of new files; left alone, for another thread may be making one."""
    with contextlib.suppress(OSError, ValueError, IndexError):  # only Linux tells
        return int(_SELF.read_text(encoding="ascii").partition("\nUmask:")[2].split()[0], 8)
    umask = os.umask(0)
    os.umask(umask)
    return umask


def remove_folder(folder: Path) -> None:
    """Delete `folder` so that no reader ever sees half of it: rename away first, then delete."""
    trash = folder.with_name(f"{TRASH_PREFIX}{folder.name}-{secrets.token_hex(4)}")
    try:
        os.rename(folder, trash)
    except FileNotFoundError:
        return
    shutil.rmtree(trash, ignore_errors=True)


def sweep(folder: Path, *, spare_seconds: float = 0.0) -> None:
    """Remove what killed writers left in `folder`: temporary and trashed files and folders.

    Where living writers may be at work beside the dead, `spare_seconds` keeps what is temporary and younger.
    """
    newest = time.time() - spare_seconds
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.name.startswith((TEMPORARY_PREFIX, TRASH_PREFIX)):
            if spare_seconds and entry.name.startswith(TEMPORARY_PREFIX):
                with contextlib.suppress(FileNotFoundError):
                    if entry.lstat().st_mtime > newest:
                        continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


def digest_bytes(data: bytes | memoryview) -> str:
    """The BLAKE2b digest of `data`, 32 hex characters (128 bit)."""
    digest = new_digest()
    digest.update(data)
    return digest.hexdigest()


def digest_file(path: Path) -> str:
    """The BLAKE2b digest of a file's content, 32 hex characters, read in pieces."""
    digest = new_digest()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def new_digest() -> hashlib.blake2b:
    """The digest of nothing yet, for content that comes in pieces: its `hexdigest` is then that of `digest_file`."""
    return hashlib.blake2b(digest_size=16)


def free_bytes(folder: Path) -> int:
    """Bytes an ordinary user can still write where `folder` is, or will be."""
    existing = folder
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free


def lock_file(path: Path, *, wait_seconds: float = 0.5) -> IO[str] | None:
    """Take the exclusive lock `path` for as long as the returned file stays open; None if it is held.

    flock, not a file that exists: a dead owner's lock is free at once. The descriptor is close-on-exec,
    so no child process inherits the lock. Tries for `wait_seconds`, because a reader that asks whether the
    lock is held (`is_locked`) holds it shared for an instant.
    """
    file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - the open file is the lock
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() >= deadline:
                file.close()
                return None
            time.sleep(0.01)


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock `path`. Never creates it, never waits, never disturbs."""
    try:
        file = open(path, encoding="utf-8")  # noqa: SIM115
    except FileNotFoundError:
        return False
    with file:
        try:
            # A shared lock is enough to notice an exclusive one, and lets many readers ask at once.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


# -- sizes and spans a person can read ---------------------------------------------------------------

_COUNT = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*([kKmMbBgGtT]?)\s*$")
_COUNT_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}
_BYTES = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*([kKmMgGtT]?)i?[bB]?\s*$")
_BYTE_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def parse_count(text: str | int) -> int:
    """`"2M"` -> 2_000_000; `"1.5k"` -> 1500; an int as it is. Units k M B (or G) T, powers of 1000."""
    if isinstance(text, int):
        return text
    match = _COUNT.match(text)
    if match is None:
        raise BadInput(f"{text!r} is not a count", fix='write a number such as 2000000 or "2M"')
    return round(float(match[1]) * _COUNT_UNITS[match[2].lower()])


def parse_bytes(text: str | int) -> int:
    """`"32MB"` -> 32_000_000; an int as it is. Units kB MB GB TB, powers of 1000."""
    if isinstance(text, int):
        return text
    match = _BYTES.match(text)
    if match is None:
        raise BadInput(f"{text!r} is not a size", fix='write a number of bytes or "32MB"')
    return round(float(match[1]) * _BYTE_UNITS[match[2].lower()])


def human_count(value: float) -> str:
    """1234567 -> "1.23M": three figures and a unit."""
    return _human(value, ("", "k", "M", "B", "T"))


def human_bytes(value: float) -> str:
    """1234567 -> "1.23 MB": three figures and a unit, powers of 1000."""
    return _human(value, (" B", " kB", " MB", " GB", " TB"))


def _human(value: float, units: tuple[str, ...]) -> str:
    size = float(value)
    for unit in units[:-1]:
        if abs(size) < 999.5:
            whole = float(size).is_integer() and unit == units[0]
            return f"{size:.0f}{unit}" if whole else f"{size:.3g}{unit}"
        size /= 1000
    return f"{size:.3g}{units[-1]}"


def human_energy(kilowatt_hours: float) -> str:
    """2.6 -> "2.6 kWh"; 0.0123 -> "12.3 Wh"; 8e-5 -> "0.08 Wh"."""
    if kilowatt_hours >= 0.1:
        return f"{kilowatt_hours:.1f} kWh"
    watt_hours = 1000 * kilowatt_hours
    return f"{watt_hours:.1f} Wh" if watt_hours >= 1 else f"{watt_hours:.2g} Wh"


def human_duration(seconds: float) -> str:
    """75 -> "1m 15s"; 9930 -> "2h 46m"; 0.4 -> "0.4s"."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    total = round(seconds)
    if total < 60:
        return f"{total}s"
    if total < 3600:
        return f"{total // 60}m {total % 60:02d}s"
    hours, minutes = divmod(total // 60, 60)
    return f"{hours}h {minutes:02d}m" if hours < 48 else f"{hours // 24}d {hours % 24}h"
