"""Progress: a bar on a terminal, plain lines in a log."""

import logging
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def progress(items: Iterable[T], unit: str, *, total: int, done: int = 0) -> Iterator[T]:
    """Yield `items` under a bar when stderr is a terminal; elsewhere the caller's log lines tell the progress."""
    if not sys.stderr.isatty():
        yield from items
        return
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    with logging_redirect_tqdm([logging.getLogger()]):
        yield from tqdm(items, unit=unit, total=total, initial=done, leave=False)
