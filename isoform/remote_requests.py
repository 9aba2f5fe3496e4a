"""Asking a DVC remote: whatever its protocol's library raises, or fails to, becomes one line."""

import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isoform.errors import BadInput, first_line

PATIENCE_S = 30
"""How long a remote may be silent; libraries of remotes wait up to half an hour. Counts in a main thread with SIGALRM alone."""
EXTRAS = "pip install -c requirements-dev.lock 'dvc[s3]', 'dvc[ssh]' or what the remote needs"
REFUSALS = re.compile(r"credential|permission|denied|forbidden|unauthori[sz]ed|expired|invalid ?access|signature", re.IGNORECASE)


def ask(odb: Any, request: Callable[[], Any]) -> Any:
    """Return what the remote answers to one request."""
    with answering(odb):
        return request()


@contextmanager
def answering(odb: Any) -> Iterator[Callable[..., None]]:
    """Raise `BadInput` when the remote refuses us, fails or is silent; give what to call at each of several answers."""
    try:
        with _patience() as heard:
            yield heard
    except Exception as error:  # each protocol's library has exceptions of its own
        raise unreadable(odb, error) from error


def unreadable(odb: Any, error: Exception) -> BadInput:
    """Return what to raise for what a remote's library raised: it refuses us, or it cannot be reached."""
    url = odb.fs.unstrip_protocol(odb.path)
    told = f"{type(error).__name__}: {first_line(error)}"
    if REFUSALS.search(told):
        return BadInput(url, f"refuses us ({told})", "give credentials that may read, in .dvc/config.local or the environment")
    return BadInput(url, f"cannot be reached ({told})", "check the remote's url, the network and the server, and run again")


@contextmanager
def _patience() -> Iterator[Callable[..., None]]:
    """Raise `TimeoutError` in a block that hears nothing for longer than a remote may be silent."""
    until = time.monotonic() + PATIENCE_S

    def heard(*_: object, **__: object) -> None:
        nonlocal until
        until = time.monotonic() + PATIENCE_S

    def ring(*_: object) -> None:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no answer within {PATIENCE_S} s")
        # Here and not in `heard`, which other threads call: one that came late would leave an alarm that nobody handles.
        signal.setitimer(signal.ITIMER_REAL, left)

    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGALRM"):
        yield heard
        return
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        yield heard
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def told_by_dvc(where: str | Path) -> Iterator[None]:
    """Turn dvc's errors into ours."""
    try:
        from dvc.config import NoRemoteError
        from dvc.exceptions import DvcException
        from dvc_objects.fs.errors import ConfigError, RemoteMissingDepsError
    except ImportError:
        raise BadInput("dvc", "is not installed", EXTRAS) from None
    try:
        yield
    except (ImportError, RemoteMissingDepsError) as error:  # dvc raises either, by the protocol
        raise BadInput(where, first_line(error), EXTRAS) from error
    except NoRemoteError as error:
        action = "run 'dvc remote add --default store URL', or name one by '--remote'"
        raise BadInput(".dvc/config", "names no default remote", action) from error
    except (DvcException, ConfigError) as error:
        raise BadInput(where, f"cannot be checked ({first_line(error)})", "correct it, and run again") from error
