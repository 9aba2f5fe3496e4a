"""The door itself: what it refuses, in its own words, and that without each of its guards something gets through."""

import os
from collections.abc import Callable

import pytest
from harness import Child, Site, problems

from isoform import metadata
from isoform.formats import FORMATS
from isoform.integrity import MAX_FILE_BYTES

UNPICKLING = [name for name, entry in FORMATS.items() if not entry.safe]


def altered(site: Site) -> None:
    """Change one byte in the middle."""
    data = bytearray(site.good)
    data[len(data) // 2] ^= 1
    site.replace(bytes(data))


def longer(site: Site) -> None:
    site.replace(site.good + b"\0")


def huge(site: Site) -> None:
    """A sparse file over the limit, whose size is vouched for."""
    with site.path.open("r+b") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    document = metadata.read(site.folder)
    document.files[site.format].bytes = MAX_FILE_BYTES + 1
    (site.folder / "metadata.json").write_text(metadata.to_json(document))


def linked(site: Site) -> None:
    """The good file itself, behind a symbolic link."""
    site.path.rename(site.root / "elsewhere")
    site.path.symlink_to(site.root / "elsewhere")


def piped(site: Site) -> None:
    site.path.unlink()
    os.mkfifo(site.path)


CASES = {
    "another content": (altered, r"^sha256 is \w{12}…, metadata\.json says ", "isoform.integrity:refuse_other_content"),
    "another size": (longer, r"^holds \d+ bytes, metadata\.json says \d+$", "isoform.integrity:refuse_other_size"),
    "more than the limit": (huge, r"^holds \d+ bytes, the limit is ", "isoform.integrity:refuse_large"),
    "a link": (linked, r"^cannot be opened \(Too many levels of symbolic links\)", f"isoform.integrity:OPEN_FLAGS={os.O_RDONLY}"),
    "a pipe": (piped, r"^is not a regular file", "isoform.integrity:refuse_irregular"),
    "a pipe that nobody writes to": (piped, r"^is not a regular file", f"isoform.integrity:OPEN_FLAGS={os.O_RDONLY}"),
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_before_anything_parses_it(case: str, format: str, child: Child, make_site: Callable[[str], Site]) -> None:
    spoil, reason, _ = CASES[case]
    site = make_site(format)
    spoil(site)
    outcome = child.attempt(site.root, site.command)
    assert not list(problems(outcome, reason, site.path.name))


@pytest.mark.parametrize("case", CASES)
def test_without_its_guard_it_is_not(case: str, child: Child, make_site: Callable[[str], Site]) -> None:
    spoil, reason, guard = CASES[case]
    site = make_site("joblib")
    spoil(site)
    outcome = child.attempt(site.root, site.command, without=guard, timeout_s=5)
    assert list(problems(outcome, reason, site.path.name))


@pytest.mark.parametrize("without", ["", "isoform.loading:refuse_untrusted"])
@pytest.mark.parametrize("format", UNPICKLING)
def test_what_unpickles_is_opened_on_trust_only(
    format: str, without: str, child: Child, make_site: Callable[[str], Site]
) -> None:
    site = make_site(format)
    untrusting = [word for word in site.command if word != "--trust-pickle"]
    outcome = child.attempt(site.root, untrusting, without=without)
    found = list(problems(outcome, rf"^format '{format}' unpickles, which is only as safe as its author$", site.path.name))
    assert bool(found) == bool(without)
