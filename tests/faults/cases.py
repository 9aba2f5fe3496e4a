"""The two tests that every file fault has: it is held in both ways, and not without its guard."""

from collections.abc import Callable, Iterable

from harness import DOOR, Child, Fault, Outcome, Site, damage, finite, problems


def try_both_ways(fault: Fault, child: Child, site: Site, record: Callable[[int, str, str, str, Outcome], None]) -> None:
    """Fail unless the fault is held (a) by the door and (b) by its format's policy."""
    site.replace(fault.make(site))
    outcome = child.attempt(site.root, site.command, timeout_s=fault.timeout_s)
    expect("a", problems(outcome, DOOR, site.path.name))
    record(fault.number, fault.title, fault.format, "a", outcome)
    site.vouch()
    outcome = child.attempt(site.root, site.command, timeout_s=fault.timeout_s)
    if fault.may_answer and outcome.status == 0:
        expect("b", damage(outcome))
        assert finite(outcome), outcome.stdout
    else:
        expect("b", problems(outcome, fault.reason, site.path.name))
    record(fault.number, fault.title, fault.format, "b", outcome)


def try_without_guard(fault: Fault, child: Child, site: Site) -> None:
    """Fail when (b) would be held without the guard that is said to hold it."""
    site.replace(fault.make(site))
    site.vouch()
    outcome = child.attempt(site.root, site.command, without=fault.guard, timeout_s=fault.timeout_s)
    assert list(problems(outcome, fault.reason, site.path.name)), f"it is held without {fault.guard}"


def expect(way: str, found: Iterable[str]) -> None:
    """Fail with every problem that was found."""
    told = list(found)
    assert not told, f"({way}): " + "; ".join(told)
