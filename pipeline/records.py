"""What a stage wrote, by SHA-256, for the stages that read it.

A file `STAGE.sha256` beside the model files, as `sha256sum` writes and checks it; written last, so that it vouches only for
files that are whole. DVC keeps it with them: one of the two altered, in the cache or in the folder, and the other says so.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from isoform.errors import BadInput
from isoform.integrity import open_verified, read_bytes, sha256, write_atomic

LINE = re.compile(r"([0-9a-f]{64})  ([^\n]+)\n")
REDO = "run 'dvc repro'"


def write(folder: Path, stage: str, contents: Mapping[str, bytes]) -> None:
    """Write the files `contents` (file name → bytes) into `folder`, and then the record of `stage`."""
    for name, data in contents.items():
        write_atomic(folder / name, data)
    write_atomic(folder / f"{stage}.sha256", "".join(f"{sha256(data)}  {name}\n" for name, data in contents.items()))


def read(folder: Path, stage: str, name: str) -> bytes:
    """Return the content of file `name`, of which `stage` recorded the hash.

    Raises `CheckFailed` when it is another content now, and `BadInput` when there is no such record.
    """
    path = folder / f"{stage}.sha256"
    text = read_bytes(path, max_bytes=1 << 20).decode(errors="replace")
    recorded = {name: digest for digest, name in LINE.findall(text)}
    if name not in recorded:
        raise BadInput(path, f"has no line for {name}", REDO)
    return open_verified(folder / name, recorded[name], path.name)
