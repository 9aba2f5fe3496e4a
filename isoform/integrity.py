"""Read a file once, hash what was read, and hand on those same bytes; write a file whole or not at all.

What only writing needs is imported there: a consumer only reads, and its first answer should not wait.
"""

import contextlib
import hashlib
import os
import stat
from pathlib import Path

from isoform.errors import BadInput, CheckFailed

MAX_FILE_BYTES = 8 << 30
"""Larger files are refused before they are read."""


def sha256(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def read_bytes(path: Path, *, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Return the content of a regular file.

    Raises `BadInput` when `path` is missing, a symbolic link, a device, a pipe or a folder, or holds more
    than `max_bytes`.
    """
    try:
        # O_NONBLOCK: opening a FIFO that nobody writes to must not hang.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise BadInput(path, "no such file", "run 'dvc pull', or 'dvc repro' to build it") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput(path, f"cannot be opened ({reason})", "name a regular file that you may read") from None
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise BadInput(path, "is not a regular file", "name a regular file")
    with open(handle, "rb") as file:
        if status.st_size > max_bytes:
            raise BadInput(path, f"holds {status.st_size} bytes, the limit is {max_bytes}", "name a smaller file")
        return file.read(max_bytes + 1)


def open_verified(path: Path, expected_sha256: str, said_by: str = "metadata.json") -> bytes:
    """Return the content of `path` after its SHA-256 matched `expected_sha256`; parse only what this returns.

    Raises `CheckFailed` when it does not match and `BadInput` as `read_bytes` does.
    """
    data = read_bytes(path)
    found = sha256(data)
    if found != expected_sha256:
        raise CheckFailed(
            path,
            f"sha256 is {found[:12]}…, {said_by} says {expected_sha256[:12]}…",
            "run 'dvc checkout' or 'dvc pull'",
        )
    return data


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write `data` (text as UTF-8) so that a reader sees the old file or the new one, never a part.

    A temporary file beside `path` is written, flushed to the disk and renamed over it. What an earlier, killed
    write has left is removed.
    """
    content = data.encode() if isinstance(data, str) else data
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    handle, temporary = _temporary(path)
    try:
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o644)  # mkstemp gives 0600 and ignores the umask
            os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself must survive a power cut
    finally:
        os.close(folder)


def _temporary(path: Path) -> tuple[int, str]:
    """Return a new file beside `path`, locked for as long as its writer lives."""
    import fcntl
    import tempfile

    while True:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, temporary
        os.close(handle)  # between the two, another writer has taken it for abandoned


def _remove_abandoned(path: Path) -> None:
    """Remove the temporary files of `path` whose writers are dead: nobody holds their lock."""
    import fcntl
    import glob

    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with contextlib.suppress(OSError), open(left, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()
