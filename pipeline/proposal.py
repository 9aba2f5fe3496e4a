"""Propose the section `data:` of params.yaml for a table: what is left out stays as a comment that says why.

Run     python -m pipeline.proposal data/raw/mine.csv [TARGET]      ('make propose FILE=… TARGET=…')
"""

import math
import re
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple

import yaml

from isoform import errors, tables
from isoform.errors import BadInput, printable
from isoform.metadata import Task
from isoform.rows import FROM_DATE, MISSING_NUMBERS
from pipeline.params import name_problem
from pipeline.target import FEW_CLASSES, is_missing, typed

PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
CODE = re.compile(r"0[0-9]+")
"""A number would lose its first digit: a zip code, say."""
FEW_INTEGERS = range(3, 11)
"""So many distinct integers may be codes."""
COMMENT_COLUMN = 34


class Finding(NamedTuple):
    """What a column is good for."""

    kind: str
    """numeric or categorical: where it stands, or would."""
    used: bool
    remark: str


def propose(path: Path, target: str = "") -> str:
    """Return the section as YAML; without `target`, for the last column. Raises `BadInput` when no column is of use."""
    header = tables.names(path)
    if not header:
        raise BadInput(path, "has no columns", "give a table with a header")
    guessed, target = not target, target or header[-1]
    once = [name for name in header if header.count(name) == 1]
    cells = tables.read(path, [], [], once if target in once else [target])
    if path.suffix == ".csv":
        cells = {name: _understood(column) for name, column in cells.items()}
    if reason := useless([cell for cell in cells[target] if not is_missing(cell)]):
        raise BadInput(path, f"'{target}' cannot be predicted: {reason}", "give TARGET=column")
    task, remark = guess_task(cells[target])
    findings = {}
    for name in dict.fromkeys(header):
        finding = judge(cells.get(name, []), path)
        problem = name_problem(name, task) if name in once else "it stands more than once"
        findings[name] = Finding(finding.kind, False, f"not with this name: {problem}") if problem else finding
    del findings[target]
    if not any(finding.used for finding in findings.values()):
        reasons = "; ".join(f"'{name}': {finding.remark}" for name, finding in findings.items())[:300]
        raise BadInput(
            path,
            f"has no column to predict '{target}' from ({reasons or 'it has no other'})",
            "give more columns, separated by commas",
        )
    remark = f"the last column, a guess; {remark}" if guessed else remark
    return _as_yaml(path, task, (target, remark), findings, len(cells[target]))


def judge(cells: Sequence[Any], path: Path) -> Finding:
    """Return what a column is good for; cells are numbers, text, or whatever else Parquet holds."""
    present = [cell for cell in cells if not is_missing(cell)]
    text = {*map(type, present)} == {str}
    kind = "categorical" if text else "numeric"
    if reason := useless(present):
        return Finding(kind, False, reason)
    missing = len(cells) - len(present)
    counts = f"{missing} missing, {len(set(present))} distinct" if missing else f"{len(set(present))} distinct"
    used, remark = (_judge_texts if text else _judge_numbers)(present, path.suffix == ".csv")
    return Finding(kind, used, f"{counts}{remark}")


def useless(present: Sequence[Any]) -> str | None:
    """Return why cells, missing ones left out, can be neither an input nor a target; None when they can."""
    kinds = set(map(type, present))
    if not present:
        return "holds nothing"
    spelt = [cell for cell in present if cell not in MISSING_NUMBERS]
    if spelt and all(map(_is_date, spelt)):
        return f"dates, such as {_quote(spelt[0])}: {FROM_DATE}"
    if not kinds <= {bool, int, float, Decimal, str}:
        return f"holds a {type(present[0]).__name__}: give numbers or text"
    return f"constant: {_quote(present[0])}" if len(set(present)) == 1 else None


def _judge_numbers(present: Sequence[Any], is_csv: bool) -> tuple[bool, str]:
    """Return whether to use the column, and a remark."""
    distinct = set(present)
    whole = all(cell == round(cell) for cell in distinct if math.isfinite(cell))
    if whole and len(distinct) == len(present) == max(distinct) - min(distinct) + 1 and len(present) > FEW_CLASSES:
        return False, ": numbers the rows"
    if whole and len(distinct) in FEW_INTEGERS:
        return True, f", all integers: if they are codes, {'' if is_csv else 'turn them into text and '}list it under categorical"
    return True, ""


def _judge_texts(present: Sequence[str], is_csv: bool) -> tuple[bool, str]:
    codes = any(map(CODE.fullmatch, present))
    words = [cell for cell in present if codes or not _is_number(cell)]
    if words and len(words) < 0.1 * len(present):
        mend = "empty those" if is_csv else "make it a column of numbers"
        return False, f": numbers, but for {len(words)} cells such as {_quote(words[0])}; {mend} to use it"
    if len(set(present)) > max(10, 0.9 * len(present)):
        return False, f" of {len(present)}: an identifier, or free text"
    return True, "" if words or is_csv else ", numbers written as text: if they are no codes, make it a column of numbers"


def guess_task(cells: Sequence[Any]) -> tuple[Task, str]:
    """Return the task that a target suggests, and what is to be said of it."""
    present = [cell for cell in cells if not is_missing(cell)]
    rows = Counter(present)
    missing = len(cells) - len(present)
    lacking = f"; missing in {missing} rows: drop those, or fill them in" if missing else ""
    numbers = [cell for cell in present if isinstance(cell, int | float | Decimal) and not isinstance(cell, bool)]
    if len(numbers) == len(present):
        whole = all(math.isfinite(cell) and cell == round(cell) for cell in numbers)
        if not whole or len(rows) > FEW_CLASSES or min(rows.values()) < 2:
            return "regression", f"{len(rows)} distinct numbers, from {min(numbers):g} to {max(numbers):g}{lacking}"
    listed = ", ".join(f"{_quote(label)} {count}" for label, count in sorted(rows.items())[:5])
    single = sum(count == 1 for count in rows.values())
    alone = f"; {single} with one row: give two or more, or drop them" if single else ""
    return "classification", f"{len(rows)} classes: {listed}{', …' if len(rows) > 5 else ''}{alone}{lacking}"


def _understood(cells: Sequence[str]) -> list[Any]:
    """Return the cells of a CSV's column as booleans or numbers where all of them are, else as text; None is missing."""
    if {*map(type, found := typed(cells))} <= {bool, NoneType}:
        return found
    try:
        numbers = list(map(tables.number, cells))
    except ValueError:
        return [cell or None for cell in cells]
    if any(CODE.fullmatch(cell.strip()) for cell in cells):
        return [cell or None for cell in cells]
    return [value if math.isfinite(value) else None for value in numbers]


def _is_number(cell: str) -> bool:
    try:
        return math.isnan(tables.number(cell)) or cell.strip() not in tables.WORDS
    except ValueError:
        return False


def _is_date(cell: Any) -> bool:
    if isinstance(cell, str):
        return tables.DATE.fullmatch(cell.strip()) is not None
    return isinstance(cell, date | time | timedelta)


def _quote(cell: Any) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return f"{cell:.17g}"
    return printable(repr(cell[:40]) if isinstance(cell, str) else str(cell))[:60]


def scalar(text: str) -> str:
    """Return `text` as a YAML scalar in one line, text to YAML 1.1 and 1.2 alike."""
    if PLAIN.fullmatch(text) and yaml.safe_load(text) == text and text.lower() not in ("y", "n"):
        return text
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=math.inf).strip()


def _as_yaml(path: Path, task: str, target: tuple[str, str], findings: dict[str, Finding], rows: int) -> str:
    track = "track it with 'dvc add'" if path.parts[:2] == ("data", "raw") else "put it under data/raw and 'dvc add' it"
    lines = [
        f"# Proposed from {rows} rows; put it in the place of this section in params.yaml.",
        "data:",
        _line(f"  source: {scalar(str(path))}", track),
        "  rows: 0",
        "  test_share: 0.2",
        f"  task: {task}",
        _line(f"  target: {scalar(target[0])}", target[1]),
    ]
    for kind in ("numeric", "categorical"):
        here = {name: finding for name, finding in findings.items() if finding.kind == kind}
        lines.append(f"  {kind}:{'' if any(finding.used for finding in here.values()) else ' []'}")
        for name, finding in here.items():
            lines.append(_line(f"    {'' if finding.used else '# '}- {scalar(name)}", finding.remark))
    return "\n".join(lines)


def _line(text: str, comment: str) -> str:
    return f"{text:<{COMMENT_COLUMN - 1}} # {comment}"


def main() -> None:
    path, target = [*sys.argv[1:], "", ""][:2]
    if not path:
        raise BadInput("make propose", "no FILE was given", "usage: make propose FILE=data/raw/mine.csv [TARGET=column]")
    print(propose(Path(path), target))


if __name__ == "__main__":
    sys.exit(errors.run(main))
