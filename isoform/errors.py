"""What can go wrong, in one line each.

IsoformError
├── BadInput       the input or the call is wrong           exit status 2
└── CheckFailed    a check that ran said no                 exit status 1
Refused            a format's policy said no; `isoform.loading` tells it as a CheckFailed of the file
"""

import sys
from collections.abc import Callable
from pathlib import Path

MAX_LETTERS = 500
"""Of each part of an error's line."""


class IsoformError(Exception):
    """A failure told as `PATH: REASON; ACTION`.

    `where` is the file, folder or option at fault, `reason` what is wrong with it and `action` what the
    reader can do. `str(error)` joins the three into one line, whatever line breaks they contain, each of
    `MAX_LETTERS` at most: they may quote a hostile file.
    """

    exit_status = 1

    def __init__(self, where: str | Path, reason: str, action: str) -> None:
        self.where, self.reason, self.action = str(where), reason, action
        super().__init__(where, reason, action)

    def __str__(self) -> str:
        where, reason, action = (cut(" ".join(part.split())) for part in (self.where, self.reason, self.action))
        return printable(f"{where}: {reason}; {action}")


class BadInput(IsoformError):
    """The input, a parameter or the call itself is wrong."""

    exit_status = 2


class CheckFailed(IsoformError):
    """A check ran and its answer is no."""


class Refused(Exception):
    """A format's policy says no to a file, whose path its module does not know; the message is the reason.

    `action` says what to do when it is something else than to rebuild the file.
    """

    def __init__(self, reason: str, action: str = "") -> None:
        self.action = action
        super().__init__(reason)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, its type when it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def cut(text: str) -> str:
    """Return `text`, or its first and last letters when it has more than `MAX_LETTERS`."""
    return text if len(text) <= MAX_LETTERS else f"{text[: MAX_LETTERS - 100]}…{text[-99:]}"


def printable(text: str) -> str:
    """Return `text` with control characters and lone surrogates escaped: it may quote a hostile file."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def run(main: Callable[[], int | None], *, debug: bool = False) -> int:
    """Call `main` and turn its outcome into an exit status; an `IsoformError` becomes one line on stderr.

    So do an error of the system, a lack of memory and Ctrl-C. With `debug` the traceback is shown as well. Other exceptions are
    bugs and keep their traceback.
    """
    try:
        return main() or 0
    except BrokenPipeError:
        raise
    except (IsoformError, OSError, MemoryError, KeyboardInterrupt) as error:
        failure = _as_isoform_error(error)
        if debug:
            import logging  # here: it would be a fiftieth of the time that loading a small model takes

            logging.getLogger(__name__).exception("traceback of the error below")
    print(f"error: {failure}", file=sys.stderr)
    return failure.exit_status


def _as_isoform_error(error: BaseException) -> IsoformError:
    if isinstance(error, IsoformError):
        return error
    if isinstance(error, OSError):  # a full disk, a folder that may not be written, a program that is not there
        return BadInput(error.filename or "the system", error.strerror or str(error), "mend it and run again")
    if isinstance(error, MemoryError):
        return CheckFailed("the system", "has not the memory that this takes", "give it more, or a smaller file")
    return CheckFailed("the run", "was interrupted", "run it again")
