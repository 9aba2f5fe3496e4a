"""No file that Hypothesis draws, vouched for or not, runs code, hangs, crashes or takes memory; `make fuzz` tries many more."""

from collections.abc import Callable

import pytest
from fuzzing import TARGETS, Tally, Trial
from harness import Child, Site

FILES = 100
SEED = 1


@pytest.mark.parametrize("format", TARGETS)
def test_every_mutated_file_is_refused_in_one_line_or_answered_from(
    format: str, child_of: Callable[[str], Child], make_site: Callable[[str], Site]
) -> None:
    tally = Trial(make_site(format), child_of(format)).run(FILES, SEED)
    assert not tally.not_held, told(tally)
    assert len(tally.reasons) > 3, "the mutations reach the reader's checks"


def told(tally: Tally) -> str:
    """Return each kind of failure with what was said."""
    return "\n".join(f"{count} × {name}: {said[-1000:]}" for name, (count, _, said) in tally.not_held.items())


def test_the_same_seed_tries_the_same_files(child_of: Callable[[str], Child], make_site: Callable[[str], Site]) -> None:
    site = make_site("golden")
    first, again, other = (Trial(site, child_of("golden")) for _ in range(3))
    for trial, seed in ((first, 1), (again, 1), (other, 2)):
        trial.run(40, seed)
        site.replace(trial.good)
    assert first.tried == again.tried != other.tried
