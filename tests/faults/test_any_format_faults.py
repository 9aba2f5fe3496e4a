"""Faults 57 to 60: what can happen to a file of any format; and 11 in what joblib keeps an array in."""

import json
import random
from collections.abc import Callable, Iterator

import pytest
from builders import Workspace, publish_older
from cases import Record, both, try_both_ways, try_series, try_series_without_door, try_without_guard
from forging import START
from harness import Child, Fault, Series, Site
from test_pickle_faults import inner_pickle

from isoform.formats import FORMATS

FILES = [*FORMATS, "config", "golden"]
PARTS = 64
FLIPPED = 64

EMPTY = [
    Fault(number=57, title="empty", format=name, make=lambda site: b"", reason="is empty", guard="isoform.loading:refuse_empty")
    for name in FORMATS
]
CUT_ZIP = "^does not begin and end as a zip of torch.save$"
CUT_REASON = dict.fromkeys(("config", "golden"), r"^is not JSON \(") | {
    "onnx": r"^is cut: a field of a ModelProto ends \d+ bytes beyond it$",
    "safetensors": r"^says that its header has \d+ bytes, and \d+ follow|^is cut|^its tensors",
    "state_dict": CUT_ZIP,
    "checkpoint": CUT_ZIP,
    "full_model": CUT_ZIP,
    "joblib": "^is cut off",
    "pickle": "^is cut off",
}
"""What a file that was cut is refused with."""
FLIPPED_NAMES = {"config": r"/config\.json$|/model\.safetensors$|^network '", "golden": r"/golden\.json$|/model\.\w+$"}
OLDER_NAMES = {"config": r"/model\.safetensors$", "golden": r"/model\.onnx$"}
"""Document → what is named when another stands in its place: a good model that is not the one it describes."""


def cuts(site: Site) -> Iterator[bytes]:
    """Yield the first 1/64th of the file, the first 2/64ths, …"""
    good = site.good
    for part in range(1, PARTS):
        yield good[: max(1, len(good) * part // PARTS)]


def flips(site: Site) -> Iterator[bytes]:
    """Yield the file with 1 to 16 bits flipped, the same in every run."""
    good, draw = site.good, random.Random(site.format)
    for _ in range(FLIPPED):
        bad = bytearray(good)
        for position in draw.sample(range(8 * len(good)), draw.choice([1, 1, 2, 4, 16])):
            bad[position // 8] ^= 1 << position % 8
        yield bytes(bad)


SERIES = [
    *(Series(number=58, title="cut at every 1/64th", format=name, make=cuts, reason=CUT_REASON[name]) for name in FILES),
    *(
        Series(
            number=59,
            title="seeded bit flips",
            format=name,
            make=flips,
            reason="",
            path=FLIPPED_NAMES.get(name, ""),
            may_answer=True,
        )
        for name in FILES
    ),
]


def wrapper_of_another_class(site: Site) -> bytes:
    """Return the good file with an array's wrapper that is to make a number, not an array."""
    old, new = (b"\x8c\x07" + name for name in (b"ndarray", b"float64"))
    assert site.good.index(old) - site.good.index(b"subclass") < 30
    return site.good.replace(old, new, 1)


JOBLIB = "isoform.formats.joblib_unpickling"
ARRAYS = [
    Fault(
        number=11,
        title="a wrapper of another class",
        format="joblib",
        make=wrapper_of_another_class,
        reason="^holds an array of odd kind$",
        guard=f"{JOBLIB}:refuse_odd_wrapper",
    ),
    Fault(
        number=11,
        title="a list in the place of an object array",
        format="joblib",
        make=inner_pickle(lambda site: START + b"]."),
        reason="^holds a list in the place of an array of object$",
        guard=f"{JOBLIB}:refuse_other_inner",
    ),
]
test_an_odd_array_is_held, test_an_odd_array_is_not_held_without_its_guard = both(ARRAYS)


@pytest.mark.parametrize("fault", EMPTY, ids=str)
def test_an_empty_file_is_refused(fault: Fault, child: Child, make_site: Callable[[str], Site], record: Record) -> None:
    try_both_ways(fault, child, make_site(fault.format), record)


@pytest.mark.parametrize("fault", EMPTY, ids=str)
def test_an_empty_file_is_not_refused_without_its_guard(fault: Fault, child: Child, make_site: Callable[[str], Site]) -> None:
    try_without_guard(fault, child, make_site(fault.format))


@pytest.mark.parametrize("series", SERIES, ids=str)
def test_each_file_of_a_series_is_refused_or_answered_from(
    series: Series, child_of: Callable[[str], Child], make_site: Callable[[str], Site], record: Record
) -> None:
    try_series(series, child_of(series.format), make_site(series.format), record)


@pytest.mark.parametrize("series", SERIES, ids=str)
def test_no_file_of_a_series_is_stopped_at_the_door_without_its_guards(
    series: Series, child_of: Callable[[str], Child], make_site: Callable[[str], Site]
) -> None:
    try_series_without_door(series, child_of(series.format), make_site(series.format))


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Site], bytes]:
    """Give a function that returns the file of a site as another version of its model has it."""
    workspace: list[Workspace] = []

    def file(site: Site) -> bytes:
        if site.format in ("config", "golden"):
            return older_document(site)
        if not workspace:
            workspace.append(publish_older(tmp_path_factory.mktemp("older") / "workspace", "mixed"))
        return workspace[0].file(site.model, site.format).read_bytes()

    return file


def older_document(site: Site) -> bytes:
    """Return a valid document of a version with other rows, or a network of another size."""
    document = json.loads(site.good)
    if site.format == "golden":
        document["probabilities"] = document["probabilities"][::-1]
    else:
        document["network"]["arguments"]["hidden"] += 1
    return json.dumps(document).encode()


@pytest.mark.parametrize("name", FILES)
def test_an_older_valid_version_is_refused_by_its_hash_and_vouched_for_is_refused_or_answered_from(
    name: str, older: Callable[[Site], bytes], child: Child, make_site: Callable[[str], Site], record: Record
) -> None:
    title = "an older valid version swapped in"
    site = make_site(name)
    try_series(
        Series(
            number=60,
            title=title,
            format=name,
            make=lambda site: [older(site)],
            reason="",
            path=OLDER_NAMES.get(name, ""),
            may_answer=True,
        ),
        child,
        site,
        record,
    )


@pytest.mark.parametrize("name", FILES)
def test_an_older_valid_version_is_not_stopped_at_the_door_without_its_guards(
    name: str, older: Callable[[Site], bytes], child: Child, make_site: Callable[[str], Site]
) -> None:
    site = make_site(name)
    bad = Series(number=60, title="", format=name, make=lambda site: [older(site)], reason="", may_answer=True)
    try_series_without_door(bad, child, site)
