"""Read rows from a CSV, JSON Lines or Parquet file: the one reader of training and of serving.

What a cell means cannot differ between them: a missing number, `True` in a numeric column, a date that no model takes.
CSV and JSON Lines need the standard library alone.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from isoform import parquet
from isoform.errors import BadInput
from isoform.integrity import read_bytes
from isoform.rows import FROM_DATE, MISSING_NUMBERS

WORDS = dict.fromkeys(MISSING_NUMBERS, float("nan"))
WORDS |= dict.fromkeys(("true", "True", "TRUE"), 1.0) | dict.fromkeys(("false", "False", "FALSE"), 0.0)
"""What stands for a number in a text file."""
DATE = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}([T ].*)?|\d{1,2}:\d\d(:\d\d.*)?")
"""A date, with or without a time, in any common order, or a time of day."""
MAX_LINE = 8 << 20
"""Letters of one line."""
ANOTHER = "name a file that is there, or run 'dvc pull' for one that DVC keeps"


def read(path: Path, numeric: Sequence[str], categorical: Sequence[str], plain: Sequence[str] = ()) -> dict[str, Any]:
    """Return the named columns of the file at `path`, as lists or arrays of N cells; the suffix names the file's kind.

    Columns in `plain` come as the file has them: a CSV's as text. Raises `BadInput` naming the line or the column at fault.
    """
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}
    refuse_other_kind(path, list(readers))
    return readers[path.suffix](path, read_bytes(path, if_missing=ANOTHER), numeric, categorical, plain)


def names(path: Path) -> list[str]:
    """Return the names of the columns of the CSV or Parquet file at `path`, in its order."""
    refuse_other_kind(path, [".csv", ".parquet"])
    data = read_bytes(path, if_missing=ANOTHER)
    if path.suffix == ".parquet":
        return parquet.names(path, data)
    try:
        return next(csv.reader(_lines(path, data, newline=""), strict=True), [])
    except csv.Error as error:
        raise BadInput(path, f"line 1: {error}", "give well-formed CSV") from None


def number(cell: str) -> float:
    """Return the number that a cell of a text file is, NaN when it is missing; raises `ValueError` when it is neither."""
    word = WORDS.get(cell)
    if word is not None:
        return word
    if "_" in cell or not cell.isascii():  # float() reads 1_000 as a thousand, and full-width digits; no other tool does
        raise ValueError(cell)
    try:
        return float(cell)
    except ValueError:
        if cell.strip() in WORDS:  # float() overlooks spaces too
            return WORDS[cell.strip()]
        raise


# Each guard is a function of its own: tests/faults takes them out one at a time and watches its test turn red.


def refuse_other_kind(path: Path, suffixes: Sequence[str]) -> None:
    """Raise `BadInput` for a file that no reader here is for."""
    if path.suffix not in suffixes:
        raise BadInput(path, f"has the suffix '{path.suffix}'", f"give one of {', '.join(suffixes)}")


def refuse_other_encoding(path: Path, data: bytes) -> None:
    """Raise `BadInput` for text that is not UTF-8."""
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadInput(path, f"line {line} is not UTF-8", "save the file as UTF-8") from None


def refuse_long_line(path: Path, line: str, number: int) -> None:
    """Raise `BadInput` for a line that is no row: a reader would hold it several times over."""
    if len(line) > MAX_LINE:
        raise BadInput(path, f"line {number} has more than {MAX_LINE} letters", "give a table, one row a line")


def refuse_missing_column(path: Path, header: Sequence[str], name: str) -> None:
    """Raise `BadInput` when the column `name` is not there."""
    if name in header:
        return
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        raise BadInput(path, f"has no column '{name}', its header is {header[0][:300]!r}", "separate the cells by commas")
    raise BadInput(path, f"has no column '{name}'", f"its columns are: {', '.join(header)[:300] or 'none'}")


def refuse_repeated_column(path: Path, header: Sequence[str], name: str) -> None:
    """Raise `BadInput` when the column `name` stands more than once."""
    if header.count(name) > 1:
        raise BadInput(path, f"has column '{name}' {header.count(name)} times", f"its columns are: {', '.join(header)[:300]}")


def refuse_other_width(path: Path, line: int, row: Sequence[str], header: Sequence[str]) -> None:
    """Raise `BadInput` when a row has more or fewer cells than the header."""
    if len(row) != len(header):
        reason = f"line {line} has {len(row)} cells, the header has {len(header)}"
        raise BadInput(path, reason, "quote commas in text")


def refuse_no_number(path: Path, line: int, name: str, cell: str) -> None:
    """Raise `BadInput` for a cell that stands where a number should and is none."""
    if DATE.fullmatch(cell.strip()):
        raise BadInput(path, f"line {line}: '{name}' is {cell[:40]!r}, a date", FROM_DATE)
    raise BadInput(path, f"line {line}: '{name}' is {cell[:40]!r}", "give a number or nothing")


def refuse_incomplete_object(path: Path, line: int, row: Any, names: Sequence[str]) -> None:
    """Raise `BadInput` for a line of JSON that lacks a column, or is no object."""
    if not isinstance(row, dict) or not row.keys() >= set(names):
        missing = [name for name in names if not isinstance(row, dict) or name not in row]
        raise BadInput(path, f"line {line} lacks {', '.join(missing)[:300]}", "give every column, null when unknown")


def _lines(path: Path, data: bytes, newline: str) -> Iterator[str]:
    """Yield the lines of a text file one at a time; `newline` as `open` takes it."""
    refuse_other_encoding(path, data)
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline=newline)
    number = 0
    while line := text.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            refuse_long_line(path, line, number)
        yield line


def _read_csv(
    path: Path, data: bytes, numeric: Sequence[str], categorical: Sequence[str], plain: Sequence[str]
) -> dict[str, Any]:
    reader = csv.reader(_lines(path, data, newline=""), strict=True)
    try:
        header = next(reader, [])
        position = {name: _position(path, header, name) for name in [*numeric, *categorical, *plain]}
        columns: dict[str, list[Any]] = {name: [] for name in position}
        numbers = [(name, columns[name], position[name]) for name in numeric]
        texts = [(columns[name], position[name]) for name in [*categorical, *plain]]
        for row in reader:
            if not row:
                continue  # a blank line, most often the last one
            if len(row) != len(header):
                refuse_other_width(path, reader.line_num, row, header)
            for name, column, i in numbers:
                try:
                    column.append(number(row[i]))
                except ValueError:
                    refuse_no_number(path, reader.line_num, name, row[i])
            for column, i in texts:
                column.append(row[i])
    except csv.Error as error:
        raise BadInput(path, f"line {reader.line_num}: {error}", "give well-formed CSV") from None
    return columns


def _position(path: Path, header: Sequence[str], name: str) -> int:
    refuse_missing_column(path, header, name)
    refuse_repeated_column(path, header, name)
    return header.index(name)


def _read_jsonl(
    path: Path, data: bytes, numeric: Sequence[str], categorical: Sequence[str], plain: Sequence[str]
) -> dict[str, Any]:
    names = [*numeric, *categorical, *plain]
    columns: dict[str, list[Any]] = {name: [] for name in names}
    # At line feeds alone: text cells may hold U+2028 and its like, which JSON does not escape.
    for line_number, line in enumerate(_lines(path, data, newline="\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadInput(path, f"line {line_number} is not JSON ({error})", "give one object per line") from None
        refuse_incomplete_object(path, line_number, row, names)
        for name in names:
            columns[name].append(row[name])
    return columns


def _read_parquet(
    path: Path, data: bytes, numeric: Sequence[str], categorical: Sequence[str], plain: Sequence[str]
) -> dict[str, Any]:
    header = parquet.names(path, data)
    for name in [*numeric, *categorical, *plain]:
        _position(path, header, name)
    return parquet.read(path, data, numeric, categorical, plain)
