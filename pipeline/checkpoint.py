"""Checkpoints: all that training consumes, so that a killed run goes on as if it had not been.

Those of a training in progress lie in an ignored scratch folder: `step-….checkpoint`, the newest two. When its
outputs are written, the last one becomes `ended-….checkpoint`, from which only a training of more epochs goes on: one
that is forced trains again. One of another origin (data, parameters, code, libraries) is never used, a damaged one is
passed over, and the log says so.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from isoform.errors import IsoformError, Refused
from isoform.formats import state_dict
from isoform.integrity import read_bytes, refuse_other_content, sha256, write_atomic
from pipeline import environment

DIGEST_BYTES = 32
"""Each file in the scratch folder is the SHA-256 of the rest, then the rest."""
LIBRARIES = ("torch", "numpy")
CODE = (
    "isoform/metadata.py",
    "isoform/networks.py",
    "isoform/rows.py",
    "pipeline/checkpoint.py",
    "pipeline/configs.py",
    "pipeline/datasets.py",
    "pipeline/determinism.py",
    "pipeline/portable_matmul.py",
    "pipeline/training.py",
    "stages/train_torch.py",
)
"""What can change a tensor of the training."""

log = logging.getLogger(__name__)

Checkpoint = dict[str, Any]
"""Keys: epoch (ended, from 1), step (of the optimizer, over all epochs), model_state_dict, optimizer_state_dict,
scheduler_state_dict, loss (mean of that epoch), history, epoch_loss_sum (of the epoch in progress), rng_states
{torch, order, cuda on a GPU}, model_config (the network's arguments)."""

Origin = dict[str, Any]
"""What a training depends on, epochs apart: nested, JSON."""


def origin(**consumed: Any) -> Origin:
    """Return `consumed` (JSON) together with this code, the libraries and Python."""
    root = Path(__file__).parent.parent
    return {
        **consumed,
        "code": {name: sha256(read_bytes(root / name)) for name in CODE},
        "libraries": {"python": environment.python_minor()} | {name: environment.version(name) for name in LIBRARIES},
    }


def save(folder: Path, checkpoint: Checkpoint, origin: Origin) -> None:
    """Add `checkpoint` to `folder`, and keep beside it only the one before."""
    data = state_dict.dump_torch({"origin": json.dumps(origin, sort_keys=True), "checkpoint": checkpoint})
    path = folder / f"step-{checkpoint['step']:09d}.checkpoint"
    write_atomic(path, hashlib.sha256(data).digest() + data)
    others = [other for other in _newest_first(folder, "step") if other != path]
    # A training only goes forward: a later one is another training's.
    later = [other for other in others if other > path]
    for old in later + [other for other in others if other < path][1:]:
        old.unlink()


def end(folder: Path) -> None:
    """Mark the last checkpoint of a training whose outputs are written, and remove all others."""
    last, *others = _newest_first(folder, "step")
    for old in [*others, *_newest_first(folder, "ended")]:
        old.unlink()
    last.replace(folder / last.name.replace("step", "ended"))


def latest(folder: Path, origin: Origin, last_step: int) -> Checkpoint | None:
    """Return the newest checkpoint from which a training of `last_step` steps can go on, or None.

    The log says of each that is not used why.
    """
    refused = False
    for path in _newest_first(folder, "*"):
        try:
            found, checkpoint = _read(path)
        except (IsoformError, Refused, RuntimeError, ValueError, KeyError, TypeError, OSError, UnpicklingError):
            log.warning("note: checkpoint %s is damaged: passed over", path)
            refused = True
            continue
        changes = list(_changes(found, json.loads(json.dumps(origin))))
        if changes:
            log.warning("note: checkpoint %s is of another training (%s): not used", path, ", ".join(changes))
            refused = True
        elif checkpoint["step"] < last_step or (checkpoint["step"] == last_step and path.name.startswith("step")):
            return checkpoint
    if refused:
        log.warning("note: no checkpoint can be used: training starts afresh")
    return None


def _read(path: Path) -> tuple[Origin, Checkpoint]:
    content = read_bytes(path)
    digest, data = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    # torch reads a flipped weight without a word.
    refuse_other_content(path, data, digest.hex(), "its own head")
    whole = state_dict.read(data)
    origin, checkpoint = json.loads(whole["origin"]), whole["checkpoint"]
    if not isinstance(origin, dict) or type(checkpoint["step"]) is not int:
        raise ValueError("is no checkpoint")
    return origin, checkpoint


def _changes(before: Any, now: Any, at: str = "") -> Iterator[str]:
    """Yield what differs between two origins, as 'training.learning_rate was 0.1, is 0.2'."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from _changes(before.get(key), now.get(key), f"{at}.{key}".lstrip("."))
    elif before != now or type(before) is not type(now):
        shown = [json.dumps(value)[:40] for value in (before, now)]
        yield f"{at} has changed" if at.startswith("code.") else f"{at} was {shown[0]}, is {shown[1]}"


def _newest_first(folder: Path, kind: str) -> list[Path]:
    return sorted(folder.glob(f"{kind}-*.checkpoint"), key=lambda path: path.name.split("-", 1)[1], reverse=True)
