"""The harness itself: what it must notice, it notices."""

import json
from collections.abc import Callable

import pytest
from harness import Child, Site, damage, problems, snapshot


def test_memory_is_bounded_and_its_peak_is_measured(child: Child, make_site: Callable[[str], Site]) -> None:
    site = make_site("metadata")
    good = child.attempt(site.root, site.command)
    site.replace(b" " * 200_000_000 + site.good)
    large = child.attempt(site.root, site.command, without="isoform.integrity:refuse_large")
    assert large.status == 0
    assert large.peak_bytes - good.peak_bytes > 180_000_000
    short = child.attempt(site.root, site.command, without="isoform.integrity:refuse_large", more_memory_bytes=100_000_000)
    assert "memory" in short.stderr
    assert short.peak_bytes < large.peak_bytes - 100_000_000


def test_what_an_earlier_attempt_said_is_not_told_of_one_that_dies_at_once(
    child: Child, make_site: Callable[[str], Site]
) -> None:
    site = make_site("metadata")
    site.replace(b"[]")
    assert child.attempt(site.root, site.command).stderr
    dead = child.attempt(site.root, site.command, timeout_s=0)
    assert dead.timed_out
    assert not dead.stderr and not dead.events


def test_a_snapshot_tells_content_kind_and_target(make_site: Callable[[str], Site]) -> None:
    site = make_site("golden")
    before = snapshot(site.root)
    assert before["canary"] != before["rows.csv"]
    assert before["models"].startswith("0o4")
    (site.root / "link").symlink_to("canary")
    site.canary.write_text("touched")
    after = snapshot(site.root)
    assert after.pop("link") == "-> canary"
    assert {name for name in after if after[name] != before[name]} == {"canary"}


@pytest.mark.parametrize("name", ["metadata", "config"])
def test_a_good_version_is_no_fault(name: str, child: Child, make_site: Callable[[str], Site]) -> None:
    site = make_site(name)
    site.replace(json.dumps(json.loads(site.good)).encode())
    site.vouch()
    outcome = child.attempt(site.root, site.command)
    assert not list(damage(outcome))
    assert "it was not refused" in list(problems(outcome, ""))
