"""Damage three real remotes (a folder, S3, SSH) in every way that faults 74 to 79 name, and print which command notices.

The trials are the tests of tests/faults/test_remote_faults.py, each remote asked for everything; rclone and sshd are started on
this machine, on loopback. A command notices when it fails and says what is wrong, not when it just fails. Exits 1 when a damage
is noticed by others than the table of docs/remotes.md says.

Run     python -m proofs.remotes
"""

import os
import re
import sys

import pytest

from isoform import errors
from isoform.errors import CheckFailed
from proofs.workspace import ROOT

COMMANDS = CHECK, DEEP, PULL, PULL_VERIFY, VERIFY = ("check", "check --deep", "pull", "pull, verify = true", "isoform verify")
"""What asks after a damage, as the table of docs/remotes.md heads its columns; `isoform verify` follows a plain pull."""
TESTS = "tests/faults/test_remote_faults.py"


class Notes:
    """Keeps what the tests noted, as a plug-in of pytest."""

    def __init__(self) -> None:
        self.caught: list[tuple[str, int, str, tuple[str, ...]]] = []
        """Remote, fault, title, and the commands that noticed it."""
        self.told: list[tuple[str, int, str, str]] = []
        """Remote, fault, title, and the reason that `isoform` gave."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.caught += [value for name, value in report.user_properties if name == "remote"]  # type: ignore[misc]
            faults = [value for name, value in report.user_properties if name == "fault"]
            for number, title, remote, _, reason in faults:  # type: ignore[misc]
                self.told.append((remote.removeprefix("remote: "), number, title, reason))  # type: ignore[has-type]


def table(notes: Notes) -> list[str]:
    """Return remote × damage → the commands that noticed it, then what was said of the faults that are no damage of an object."""
    rows: list[tuple[str, ...]] = [("remote", "fault", *COMMANDS)]
    for remote, number, title, caught in sorted(notes.caught):
        rows.append((remote, f"{number} {title}", *("caught" if name in caught else "-" for name in COMMANDS)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    damages = {(number, title) for _, number, title, _ in notes.caught}
    others = sorted(note for note in notes.told if note[1:3] not in damages)
    return [*lines, "", *(f"{remote:<6}  {number} {title}: {_shown(reason)}" for remote, number, title, reason in others)]


def _shown(reason: str) -> str:
    """Return a reason without the folders of this run."""
    return re.sub(r"/\S+/(\S+)", r"…/\1", reason)


def main() -> int:
    """Run the trials and return an exit status: 0 when every damage was noticed as documented."""
    os.environ["EVERY_REMOTE"] = "1"
    notes = Notes()
    status = pytest.main(["--rootdir", str(ROOT), "-q", "--show-capture=no", str(ROOT / TESTS)], plugins=[notes])
    print(*table(notes), sep="\n")
    if status:
        raise CheckFailed(TESTS, "a trial went otherwise than docs/remotes.md and the tests say", "see above")
    print(f"{len(notes.caught)} damages, each noticed")
    return 0


if __name__ == "__main__":
    sys.exit(errors.run(main))
