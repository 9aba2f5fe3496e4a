"""Faults 57 to 61: what can happen to a file of any format."""

from collections.abc import Callable

import pytest
from cases import try_both_ways, try_without_guard
from harness import Child, Fault, Outcome, Site

from isoform.formats import FORMATS

FAULTS = [
    Fault(number=57, title="empty", format=name, make=lambda site: b"", reason="is empty", guard="isoform.loading:refuse_empty")
    for name in FORMATS
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_it_is_held(
    fault: Fault, child: Child, make_site: Callable[[str], Site], record: Callable[[int, str, str, str, Outcome], None]
) -> None:
    try_both_ways(fault, child, make_site(fault.format), record)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_it_is_not_held_without_its_guard(fault: Fault, child: Child, make_site: Callable[[str], Site]) -> None:
    try_without_guard(fault, child, make_site(fault.format))
