"""Try drawn bad files of one format, each in a fork of its own, and tell what was not held.

Used by test_fuzz.py, some hundred files a format, and by fuzz.py (`make fuzz`), ten thousand.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from harness import DOCUMENTS, Child, Outcome, Site, damage, finite
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Flaky
from mutations import Bad, mutated

from isoform.formats import FORMATS

TARGETS = (*FORMATS, *DOCUMENTS)
TIMEOUT_S = 10.0
MORE_PEAK_BYTES = 300 << 20
"""What a bad file may take at its peak beyond what the good one takes."""
CHUNK = 500
"""Files drawn in one go: a failure ends it, and the next goes on."""
CONFIGURED = settings(
    max_examples=CHUNK,
    derandomize=False,
    database=None,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
    print_blob=False,
)
"""Of Hypothesis: the seed decides all."""
SHRINKS = 150
"""Files tried to find a smaller one that fails alike."""
MEMORY = r"has not the memory|bad_alloc|[Aa]llocat|MemoryError"


class NotHeld(Exception):
    """A file was not held; the message says how."""


@dataclass
class Tally:
    """What came of the files of one format."""

    format: str
    files: int = 0
    refused: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """Reason, without what differs from file to file → files."""
    slowest_s: float = 0.0
    peak_bytes: int = 0
    """Largest peak of memory beyond that of the good file."""
    not_held: dict[str, tuple[int, bytes, str]] = field(default_factory=dict)
    """Kind of failure → files that failed so, the smallest of the first chunk, and what was said."""

    def add(self, outcome: Outcome, more_bytes: int) -> None:
        self.files += 1
        self.refused += outcome.status != 0
        self.reasons[general(outcome.reason) if outcome.status else "answered"] += 1
        self.slowest_s = max(self.slowest_s, outcome.seconds)
        self.peak_bytes = max(self.peak_bytes, more_bytes)


def general(text: str) -> str:
    """Return a reason without what differs from file to file."""
    text = re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`", "'…'", " ".join(text.split()))
    return re.sub(r"[0-9a-f]{12}…|0x[0-9a-f]+|-?\d[\d.e+]*|[^\x20-\x7e…]+", "…", text)[:90]


def problems(outcome: Outcome, more_bytes: int) -> Iterator[str]:
    """Yield what no file may bring about, vouched for or not."""
    yield from damage(outcome)
    if more_bytes > MORE_PEAK_BYTES:
        yield f"it took {more_bytes >> 20} MiB more than the good file"
    if re.search(MEMORY, outcome.stderr):
        yield f"it asked for more memory than there is: {outcome.stderr[-300:]}"
    if outcome.status == 0:
        if not finite(outcome):
            yield f"it answered with what is no finite number: {outcome.stdout[-300:]}"
        if outcome.stderr:
            yield f"it answered and complained: {outcome.stderr[-300:]}"
    elif outcome.status in (1, 2) and not re.fullmatch(r"error: .+?: .+; .+\n", outcome.stderr):
        yield f"it did not say one line 'error: PATH: REASON; ACTION', but {outcome.stderr[-1000:]!r}"
    if len(outcome.stderr) > 2000:
        yield "it said more than 2000 characters"


def kind(found: list[str], outcome: Outcome) -> str:
    """Return what tells this failure from others: of a traceback its last line and its place in this package."""
    if "Traceback" in outcome.stderr:
        places = re.findall(r'File "[^"]*/(isoform/[^"]+)", line (\d+)', outcome.stderr) or [("?", "?")]
        return f"{general(outcome.stderr.strip().splitlines()[-1])[:60]} at {':'.join(places[-1])}"
    return general(found[0])[:70]


class Trial:
    """A good version, a child that has its libraries loaded, and what has come of its bad files so far."""

    def __init__(self, site: Site, child: Child) -> None:
        self.site, self.child = site, child
        self.good = self.site.good
        self.recorded = (self.site.folder / "metadata.json").read_bytes()
        self.donors = [path.read_bytes() for path in sorted(self.site.folder.iterdir()) if path != self.site.path]
        self.base_bytes = self.child.attempt(self.site.root, self.site.command).peak_bytes
        self.tally = Tally(site.format)
        self.tried: set[bytes] = set()

    def attempt(self, bad: bytes) -> tuple[Outcome, list[str], int]:
        """Try a file with its hash recorded; return what came of it, what was wrong, and the bytes it took beyond the good."""
        self.site.replace(bad)
        if self.site.format != "metadata":
            (self.site.folder / "metadata.json").write_bytes(self.recorded)
            self.site.vouch()
        outcome = self.child.attempt(self.site.root, self.site.command, timeout_s=TIMEOUT_S)
        more = max(0, outcome.peak_bytes - self.base_bytes)
        return outcome, list(problems(outcome, more)), more

    def run(self, files: int, number: int, progress: Callable[[], object] = lambda: None) -> Tally:
        """Try `files` different bad files, drawn from the seed `number`; each kind of failure is shrunk once."""
        chunk = 0
        while self.tally.files < files:
            wanted = min(files, self.tally.files + CHUNK)
            self._run_chunk(wanted, number * 1_000_003 + chunk, progress)
            chunk += 1
        return self.tally

    def _run_chunk(self, wanted: int, number: int, progress: Callable[[], object]) -> None:
        failed: dict[bytes, str] = {}
        """Digest of the files that failed as the first one did → what was said; the last one is the smallest."""
        smallest, name, calls = Bad(), "", 0

        def try_one(bad: Bad) -> None:
            nonlocal smallest, name, calls
            digest = hashlib.sha256(bad).digest()
            if digest in failed:
                raise NotHeld(name)
            if digest in self.tried or bad == self.good or self.tally.files >= wanted or calls > SHRINKS:
                return
            outcome, found, more = self.attempt(bad)
            self.tried.add(digest)
            self.tally.add(outcome, more)
            progress()
            calls += bool(failed)
            this = kind(found, outcome) if found else ""
            if this in self.tally.not_held:
                count, *rest = self.tally.not_held[this]
                self.tally.not_held[this] = (count + 1, *rest)
            elif this and name in ("", this):
                failed[digest], smallest, name = "; ".join(found), bad, this
                raise NotHeld(name)

        drawn = mutated(self.site.format, self.good, self.donors, str(self.site.canary))
        try:
            seed(number)(CONFIGURED(given(drawn)(try_one)))()
        except (NotHeld, Flaky):
            self.tally.not_held[name] = (len(failed), smallest, list(failed.values())[-1])
