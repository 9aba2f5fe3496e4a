"""Rows made to break exporters: a held-out row with one cell, or a whole kind of column, at a value that formats treat apart.

Shapes: N rows, F numeric columns.
"""

import itertools
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from isoform.metadata import Config
from isoform.rows import Columns, take

Edit = Mapping[str, float | str | None]
Case = tuple[int, Edit]
"""The position of a held-out row, and what replaces some of its cells; None is a missing text."""

FLOAT32 = np.finfo(np.float32)
NUMBERS: tuple[float, ...] = (
    *(np.nan, np.inf, -np.inf, 0.0, -0.0),
    # The smallest subnormal, the largest, the smallest normal number: a runtime may flush them to zero.
    *(1e-45, -1e-45, 1.1754942e-38, float(FLOAT32.tiny), -float(FLOAT32.tiny)),
    *(1e38, -1e38, float(FLOAT32.max), -float(FLOAT32.max)),
    # Integers that float32 rounds or only just holds.
    *(2.0**24 + 1, -(2.0**24) - 1, 2.0**24 + 2, 2.0**31, 2.0**53 + 2),
    # float64 that float32 rounds: nearly, to the even neighbour below and above, to infinity, not yet to infinity, to zero.
    *(0.1, 1 / 3, 1 + 2.0**-24, 1 + 3 * 2.0**-24, float(FLOAT32.max) + 2.0**103, float(FLOAT32.max) + 2.0**102),
    *(1e300, -1e300, 1e-300),
)
TEXTS: tuple[str | None, ...] = (
    *(None, "", " ", "\t", "\n", "never seen in training", "x" * 10_000),
    *("Žluťoučký kůň", "日本語", "✈️👩\u200d🔬", "\u0301", "caf\u00e9", "cafe\u0301", "\ufeffa", "\u2028"),
    *("0", "-1", "1.0", "1e3", "٤٢", "007"),
    # What libraries take for missing, or print for it.
    *("nan", "NaN", "None", "null", "NA", "inf", "True"),
)
ROWS = 4
"""Held-out rows that each value meets."""
KNOWN = 256
"""Most values seen in training that are tried per column; an encoder may be wrong for one that no held-out row holds."""
CASES = 8_192
"""Once there are so many, a table is wide, and its values meet no further row."""


def cases(columns: Columns, config: Config, rows: Sequence[int]) -> list[Case]:
    """Return every hostile value in every column, one at a time and all at once, in each of the held-out `rows`."""
    found: list[Case] = []
    for row in rows:
        if len(found) >= CASES:
            break
        found += [(int(row), edit) for edit in _edits(columns, config, row)]
    return found


def raw_rows(columns: Columns, cases: Iterable[Case], config: Config) -> Columns:
    """Return the rows that `cases` describe as a caller may give them: float64 numbers, texts with None."""
    cases = list(cases)
    rows = take(columns, np.array([row for row, _ in cases], dtype=np.int64))
    raw = {name: rows[name].astype(np.float64 if name in set(config.numeric) else object) for name in rows}
    for position, (_, edit) in enumerate(cases):
        for name, value in edit.items():
            raw[name][position] = value
    return raw


def plain_rows(raw: Columns, config: Config) -> Columns:
    """Return raw rows as a user of plain onnxruntime feeds them: float32, no row policy; "" where text is missing."""
    with np.errstate(over="ignore"):
        plain = {name: raw[name].astype(np.float32) for name in config.numeric}
    for name in config.categorical:
        plain[name] = np.array([cell or "" for cell in raw[name]], dtype=object)
    return plain


def describe(case: Case) -> str:
    """Return "test row 4711 with dep_delay = inf": ASCII, so that é of one and of two code points differ."""
    row, edit = case
    shown = ", ".join(f"{name} = {_show(value)}" for name, value in itertools.islice(edit.items(), 3))
    more = f" and {len(edit) - 3} more" if len(edit) > 3 else ""
    return f"test row {row} with {shown}{more}" if edit else f"test row {row}"


def variants(known: str) -> list[str]:
    """Return texts that a lenient encoder takes for `known`: other case, spaces, composition."""
    return [
        *(known.upper(), known.lower(), known.swapcase(), known.title()),
        *(f"{known} ", f" {known}", f"{known}\n", known.replace(" ", "\u00a0"), f"{known}\u200b"),
        *(f"{known}\u0301", *(unicodedata.normalize(form, known) for form in ("NFC", "NFD", "NFKC"))),
        *(known[:-1], known * 2),
    ]


def _edits(columns: Columns, config: Config, row: int) -> Iterator[Edit]:
    numbers, texts = config.numeric, config.categorical
    for name in numbers:
        yield from ({name: value} for value in (*NUMBERS, *_halfway(columns[name][row])))
    for name in texts:
        known = config.categories[name]
        own = str(columns[name][row]) or next(filter(None, known), "")
        chosen = known[:: -(-len(known) // KNOWN) or 1]
        yield from ({name: text} for text in dict.fromkeys([*TEXTS, *variants(own), *chosen]))
    if len(numbers) > 1:
        yield from (dict.fromkeys(numbers, value) for value in NUMBERS)
    if len(texts) > 1:
        yield from (dict.fromkeys(texts, text) for text in TEXTS)
        yield from (
            dict(zip(texts, like, strict=True))
            for like in zip(*(variants(str(columns[name][row])) for name in texts), strict=True)
        )
    yield dict.fromkeys(numbers, np.nan) | dict.fromkeys(texts, None)


def _halfway(value: np.float32) -> list[float]:
    """Return the float64 numbers halfway between `value` and its neighbours in float32; they round to the even one."""
    if not np.isfinite(value):
        return []
    neighbours = (np.nextafter(value, np.float32(bound)) for bound in (-np.inf, np.inf))
    return [(float(value) + float(neighbour)) / 2 for neighbour in neighbours]


def _show(value: float | str | None) -> str:
    text = ascii(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= 40 else f"{text[:30]}… ({len(str(value))} characters)"
