"""The table of faults that `make faults` prints: of each the format, the way and the reason given, and how many were held.

The hooks and the fixture are conftest.py's. Nothing heavy is imported: test_table.py runs pytest with these alone.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness import Outcome


@pytest.fixture
def record(record_property: Callable[[str, object], None]) -> Callable[[int, str, str, str, "Outcome | str"], None]:
    """Give a function that notes a fault that was held for the table: number, title, format, way, outcome or what to say."""

    def note(number: int, title: str, format: str, way: str, outcome: "Outcome | str") -> None:
        said = outcome if isinstance(outcome, str) else outcome.reason if outcome.status else "answers with finite numbers"
        record_property("fault", (number, title, format, way, " ".join(said.split())))

    return note


FAULTS = 79
"""How many the list has."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults-table", action="store_true", help="print each fault, format, way and reason (make faults)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Note of each test which faults it tries, before it is run: those of its parameters, and those in its name."""
    for item in items:
        item.user_properties += [("tries", number) for number in sorted(tried(item))]


def tried(item: pytest.Item) -> set[int]:
    """Return the numbers of a test's faults: `.number` of a parameter, and those that its name begins with."""
    callspec = getattr(item, "callspec", None)
    numbers = {value.number for value in callspec.params.values() if hasattr(value, "number")} if callspec else set()
    named = re.match(r"test((?:_\d\d)+)_", item.name)
    return numbers | {int(number) for number in (named[1].split("_")[1:] if named else ())}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of the faults that were held, and how many of all they are."""
    if not terminalreporter.config.getoption("--faults-table", default=False):
        return
    reports = [report for reports in terminalreporter.stats.values() for report in reports if hasattr(report, "failed")]
    failed = [report for report in reports if report.failed and "faults/" in report.nodeid]
    terminalreporter.section("faults")
    print("\n".join(summary([report for report in reports if report.passed], failed)))


def summary(passed: Sequence[pytest.TestReport], failed: Sequence[pytest.TestReport]) -> Iterator[str]:
    """Yield a line for each fault that was held and each test that failed, and then how many faults were held.

    A fault is held when a test that passed has recorded it, and no test that tries it failed.
    """
    rows = {tuple(row) for report in passed for row in noted(report, "fault")}
    for number, title, format, way, reason in sorted(rows):
        yield f"{number:>2}  {title:<38.38}  {format:<16.16}  {way}  {reason[:110]}"
    for report in failed:
        yield f"NOT HELD: {report.nodeid}"
    lost = [{*noted(report, "tries"), *(row[0] for row in noted(report, "fault"))} for report in failed]
    held = {row[0] for row in rows}.difference(*lost)
    missing = sorted(set(range(1, FAULTS + 1)) - held)
    # Of which fault a failed test was cannot always be told.
    yield f"\n{'' if all(lost) else 'at most '}{len(held)} of {FAULTS} faults held, {len(failed)} tests failed" + (
        f"; not held: {', '.join(map(str, missing))}" if missing else ""
    )


def noted(report: pytest.TestReport, name: str) -> list[Any]:
    """Return what a test has noted under a name; one that could not be collected or whose process died, nothing."""
    return [value for key, value in getattr(report, "user_properties", ()) if key == name]
