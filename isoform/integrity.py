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
# O_NOFOLLOW: a link is no file of the version. O_NONBLOCK: opening a FIFO that nobody writes to must not hang.
OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
RESTORE = "run 'dvc checkout --force', or 'dvc pull --force'"
"""Without the option DVC keeps what it did not write."""


def sha256(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def read_bytes(
    path: Path, *, max_bytes: int = MAX_FILE_BYTES, if_missing: str = "run 'dvc pull', or 'dvc repro' to build it"
) -> bytes:
    """Return the content of a regular file that nobody vouches for: parameters, rows, metadata.json itself.

    Raises `BadInput` when `path` is missing, a symbolic link, a device, a pipe or a folder, holds more than `max_bytes`,
    or is no path; `if_missing` is what to do when there is none.
    """
    refuse_bad_path(path)
    try:
        handle = os.open(path, OPEN_FLAGS)
    except FileNotFoundError:
        raise BadInput(path, "no such file", if_missing) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput(path, f"cannot be opened ({reason})", "name a regular file that you may read") from None
    try:
        status = os.fstat(handle)
        refuse_irregular(path, status)
        refuse_large(path, status, max_bytes)
    except BadInput:
        os.close(handle)
        raise
    with open(handle, "rb") as file:
        # Room for what it holds now, not for the limit: `read` takes the memory first.
        return file.read(status.st_size + 1)


def open_verified(
    path: Path, expected_sha256: str, said_by: str = "metadata.json", *, expected_bytes: int | None = None
) -> bytes:
    """Return the content of `path` after its SHA-256 matched `expected_sha256`; parse only what this returns.

    The one door of every model file. Raises `CheckFailed` when it has another content, or another size than
    `expected_bytes` (then nothing is read), and `BadInput` as `read_bytes` does.
    """
    if expected_bytes is not None:
        refuse_other_size(path, expected_bytes, said_by)
    data = read_bytes(path)
    refuse_other_content(path, data, expected_sha256, said_by)
    return data


# Each guard is a function of its own: tests/faults takes them out one at a time and watches its test turn red.


def refuse_bad_path(path: Path) -> None:
    """Raise `BadInput` for what no file or folder can be called."""
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError:  # a lone surrogate
        encoded = b"\0"
    if b"\0" in encoded or len(encoded) > 4000 or max(map(len, encoded.split(b"/"))) > 255:
        raise BadInput(f"{str(path)[:80]!r}", "is no path of a file", "name a regular file")


def refuse_irregular(path: Path, status: os.stat_result) -> None:
    """Raise `BadInput` for a folder, a device, a pipe."""
    if not stat.S_ISREG(status.st_mode):
        raise BadInput(path, "is not a regular file", "name a regular file")


def refuse_large(path: Path, status: os.stat_result, max_bytes: int) -> None:
    """Raise `BadInput` for a file of more than `max_bytes`."""
    if status.st_size > max_bytes:
        raise BadInput(path, f"holds {status.st_size} bytes, the limit is {max_bytes}", "name a smaller file")


def refuse_other_size(path: Path, expected_bytes: int, said_by: str) -> None:
    """Raise `CheckFailed` when a regular file has another size, before any of it is read."""
    with contextlib.suppress(OSError, ValueError):
        status = os.lstat(path)
        if stat.S_ISREG(status.st_mode) and status.st_size != expected_bytes:
            raise CheckFailed(path, f"holds {status.st_size} bytes, {said_by} says {expected_bytes}", RESTORE)


def refuse_other_content(path: Path, data: bytes, expected_sha256: str, said_by: str) -> None:
    """Raise `CheckFailed` when `data` is not what was recorded."""
    found = sha256(data)
    if found != expected_sha256:
        raise CheckFailed(path, f"sha256 is {found[:12]}…, {said_by} says {expected_sha256[:12]}…", RESTORE)


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write `data` (text as UTF-8) so that a reader sees the old file or the new one, never a part.

    A temporary file beside `path` is written, flushed to the disk and renamed over it. What an earlier, killed
    write has left is removed. Raises `BadInput` when the system refuses any of this; no temporary file is left then.
    """
    content = data.encode() if isinstance(data, str) else data
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        handle, temporary = _temporary(path)
        try:
            with open(handle, "wb") as file:
                file.write(content)
                file.flush()
                _to_disk(file.fileno())
                os.fchmod(file.fileno(), 0o644)  # mkstemp gives 0600 and ignores the umask
                os.replace(temporary, path)
        except BaseException:
            _discard(temporary)
            raise
        sync(path.parent)  # the rename itself must survive a power cut
    except OSError as error:
        refuse_failed_write(path, error)
        raise


def sync(path: Path) -> None:
    """Have the system put on the disk what it holds of a file or folder; raises `BadInput` when it cannot."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _to_disk(handle)
        finally:
            os.close(handle)
    except OSError as error:
        refuse_failed_write(path, error)
        raise


def refuse_failed_write(path: Path, error: OSError) -> None:
    """Raise `BadInput` naming the file: a write that fails knows only its number."""
    reason = f"cannot be written ({error.strerror or error})"
    raise BadInput(path, reason, "free space there, or let it be written, and run again") from None


def _to_disk(handle: int) -> None:
    os.fsync(handle)


def _discard(temporary: str) -> None:
    Path(temporary).unlink(missing_ok=True)


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
