"""Checkpoints: all that training consumes, so that a killed run goes on as if it had not been.

Those of a training in progress lie in an ignored scratch folder, the newest two. One from other data,
parameters, code or libraries is never used: its `fingerprint` differs. A damaged one is passed over.
"""

import hashlib
import json
import logging
import pickle
from importlib import metadata
from pathlib import Path
from typing import Any

from isoform.errors import IsoformError
from isoform.formats import checkpoint as checkpoint_format
from isoform.formats import state_dict
from isoform.integrity import read_bytes, sha256, write_atomic

KEPT = 2
DIGEST_BYTES = 32
"""Each file in the scratch folder is the SHA-256 of the rest, then the rest."""
LIBRARIES = ("torch", "numpy")
CODE = ("isoform/networks.py", "pipeline/training.py", "pipeline/checkpoint.py", "pipeline/determinism.py")

log = logging.getLogger(__name__)

Checkpoint = dict[str, Any]
"""Keys: epoch (ended, from 1), model_state_dict, optimizer_state_dict, scheduler_state_dict, loss (of that
epoch), history, rng_states {torch, order}, model_config (the network's arguments), fingerprint."""


def fingerprint(**consumed: Any) -> str:
    """Return one hash over what a training depends on: `consumed` (JSON), this code and the libraries."""
    root = Path(__file__).parent.parent
    code = {name: sha256(read_bytes(root / name)) for name in CODE}
    libraries = {name: metadata.version(name) for name in LIBRARIES}
    text = json.dumps({"consumed": consumed, "code": code, "libraries": libraries}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Add `checkpoint` to `folder` and remove all but the newest."""
    data = checkpoint_format.dump(checkpoint)
    write_atomic(folder / f"epoch-{checkpoint['epoch']:06d}.checkpoint", hashlib.sha256(data).digest() + data)
    for old in _newest_first(folder)[KEPT:]:
        old.unlink()


def keep_last(folder: Path) -> None:
    """Remove all but the last checkpoint of a training that ended: raising `epochs` goes on from there."""
    for old in _newest_first(folder)[1:]:
        old.unlink()


def latest(folder: Path, expected_fingerprint: str, *, before_epoch: int) -> Checkpoint | None:
    """Return the newest usable checkpoint from before `before_epoch`, or None; the log says why one is not."""
    for path in _newest_first(folder):
        try:
            content = read_bytes(path)
            digest, data = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
            # torch reads a flipped weight without a word.
            if hashlib.sha256(data).digest() != digest:
                raise ValueError("its hash does not match")
            checkpoint: Checkpoint = state_dict.read(data)
            found, epoch = checkpoint["fingerprint"], checkpoint["epoch"]
        except (IsoformError, RuntimeError, ValueError, KeyError, TypeError, EOFError, OSError, pickle.UnpicklingError):
            log.warning("note: checkpoint %s is damaged: passed over", path)
            continue
        if found != expected_fingerprint:
            log.warning("note: checkpoint %s is from other data, parameters, code or libraries: not used", path)
        elif epoch < before_epoch:
            return checkpoint
    return None


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch-*.checkpoint"), reverse=True)
