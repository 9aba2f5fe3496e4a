"""A fault that is tried once: what is arranged, what is run, and what must be said."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from cases import Record, expect
from harness import MORE_MEMORY_BYTES, TIMEOUT_S, Child, Outcome, problems


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A fault of whatever a command is given: its arguments, its parameters, its rows."""

    number: int
    title: str
    format: str
    """Where it stands: params.yaml, rows: csv, argument, …"""
    arrange: Callable[[Path], list[str]]
    """Puts the fault into the folder and returns the command, as `Child.attempt` takes it."""
    reason: str
    """Regular expression that the reason must match."""
    guard: str
    """What gives this reason, as `guards.take_out` takes it: without it the test must turn red."""
    path: str = ""
    """What the line must name."""
    timeout_s: float = TIMEOUT_S
    more_memory_bytes: int = MORE_MEMORY_BYTES

    def __str__(self) -> str:
        return re.sub("[^a-z0-9]+", "_", f"{self.number} {self.format} {self.title}".lower())

    def outcome(self, child: Child, root: Path, without: str = "") -> Outcome:
        """Run the command in a folder where the fault is arranged."""
        return child.attempt(
            root, self.arrange(root), without=without, timeout_s=self.timeout_s, more_memory_bytes=self.more_memory_bytes
        )


def both(attempts: Sequence[Attempt]) -> tuple[Callable[..., None], Callable[..., None]]:
    """Return the tests that each attempt gets, in the folder of the module's fixture `root`.

    What only a library's parser refuses has no guard here to take out.
    """

    @pytest.mark.parametrize("fault", attempts, ids=str)
    def held(fault: Attempt, child: Child, root: Path, record: Record) -> None:
        try_once(fault, child, root, record)

    @pytest.mark.parametrize("fault", [attempt for attempt in attempts if attempt.guard], ids=str)
    def not_held(fault: Attempt, child: Child, root: Path) -> None:
        try_once_without_guard(fault, child, root)

    return held, not_held


def try_once(attempt: Attempt, child: Child, root: Path, record: Record) -> None:
    """Fail unless the fault is held."""
    outcome = attempt.outcome(child, root)
    expect("-", problems(outcome, attempt.reason, attempt.path))
    record(attempt.number, attempt.title, attempt.format, "-", outcome)


def try_once_without_guard(attempt: Attempt, child: Child, root: Path) -> None:
    """Fail when the fault would be held without the guard that is said to hold it."""
    outcome = attempt.outcome(child, root, without=attempt.guard)
    assert list(problems(outcome, attempt.reason, attempt.path)), f"it is held without {attempt.guard}"
