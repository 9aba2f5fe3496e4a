"""The tests that every file fault has: it is held in both ways, and not without its guard."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

import pytest
from harness import DOOR, DOOR_GUARDS, Child, Fault, Outcome, Series, Site, damage, finite, problems

Record = Callable[[int, str, str, str, Outcome | str], None]
"""Notes a fault that was held for the table: number, title, format, way, and what was said."""


def both(faults: Sequence[Fault]) -> tuple[Callable[..., None], Callable[..., None]]:
    """Return the tests that each fault of a file gets: it is held in both ways, and not without its guard."""

    @pytest.mark.parametrize("fault", faults, ids=str)
    def held(fault: Fault, child: Child, make_site: Callable[[str], Site], record: Record) -> None:
        try_both_ways(fault, child, make_site(fault.format), record)

    @pytest.mark.parametrize("fault", faults, ids=str)
    def not_held(fault: Fault, child: Child, make_site: Callable[[str], Site]) -> None:
        try_without_guard(fault, child, make_site(fault.format))

    return held, not_held


def try_both_ways(fault: Fault, child: Child, site: Site, record: Record) -> None:
    """Fail unless the fault is held (a) by the door and (b) by its format's policy."""
    site.replace(fault.make(site))
    outcome = child.attempt(site.root, site.command, timeout_s=fault.timeout_s)
    expect("a", problems(outcome, DOOR, site.path.name))
    record(fault.number, fault.title, fault.format, "a", outcome)
    site.vouch()
    outcome = child.attempt(site.root, site.command, timeout_s=fault.timeout_s)
    expect("b", problems(outcome, fault.reason, site.path.name))
    record(fault.number, fault.title, fault.format, "b", outcome)


def try_without_guard(fault: Fault, child: Child, site: Site) -> None:
    """Fail when (b) would be held without the guard that is said to hold it."""
    site.replace(fault.make(site))
    site.vouch()
    outcome = child.attempt(site.root, site.command, without=fault.guard, timeout_s=fault.timeout_s)
    assert list(problems(outcome, fault.reason, site.path.name)), f"it is held without {fault.guard}"


def try_series(series: Series, child: Child, site: Site, record: Record) -> None:
    """Fail unless every file of the series is held (a) by the door and (b) by its format's policy, or answered from."""
    recorded = (site.folder / "metadata.json").read_bytes()
    said: dict[str, Counter[str]] = {"a": Counter(), "b": Counter()}
    for number, bad in enumerate(series.make(site)):
        site.replace(bad)
        (site.folder / "metadata.json").write_bytes(recorded)
        outcome = child.attempt(site.root, site.command)
        expect(f"a, file {number}", problems(outcome, DOOR, site.path.name))
        said["a"][general(outcome)] += 1
        site.vouch()
        outcome = child.attempt(site.root, site.command)
        if series.may_answer and outcome.status == 0:
            expect(f"b, file {number}", damage(outcome))
            assert finite(outcome), f"(b, file {number}): {outcome.stdout}"
        else:
            expect(f"b, file {number}", problems(outcome, series.reason))
            named = series.path or re.escape(site.path.name)
            assert re.search(named, outcome.path), f"(b, file {number}): it named {outcome.path!r}, not {named!r}"
        said["b"][general(outcome)] += 1
    for way, reasons in said.items():
        text = f"{reasons.total()} files: " + ", ".join(f"{count} × {reason}" for reason, count in reasons.most_common())
        record(series.number, series.title, series.format, way, text)


def try_series_without_door(series: Series, child: Child, site: Site) -> None:
    """Fail unless, without the door, a file of the series is taken as one that is vouched for: nothing else stands there."""
    recorded = (site.folder / "metadata.json").read_bytes()
    for bad in islice(series.make(site), 3):
        site.replace(bad)
        (site.folder / "metadata.json").write_bytes(recorded)
        without = child.attempt(site.root, site.command, without=DOOR_GUARDS)
        site.vouch()
        vouched = child.attempt(site.root, site.command)
        assert (without.status, without.stdout, without.stderr) == (vouched.status, vouched.stdout, vouched.stderr)


def general(outcome: Outcome) -> str:
    """Return what was said without what differs from file to file."""
    return re.sub(r"[0-9a-f]{12}…|\d+", "…", outcome.reason[:60]) if outcome.status else "answered"


def expect(way: str, found: Iterable[str]) -> None:
    """Fail with every problem that was found."""
    told = list(found)
    assert not told, f"({way}): " + "; ".join(told)
