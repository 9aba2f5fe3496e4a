"""Read rows from a CSV, JSON Lines or Parquet file: the one reader of training and of serving.

What a cell means cannot differ between them: a missing number, `True` in a numeric column, a date that no model takes.
CSV and JSON Lines need the standard library alone.
"""

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isoform.errors import BadInput, first_line
from isoform.integrity import read_bytes
from isoform.rows import MISSING_NUMBERS

WORDS = dict.fromkeys(MISSING_NUMBERS, float("nan"))
WORDS |= dict.fromkeys(("true", "True", "TRUE"), 1.0) | dict.fromkeys(("false", "False", "FALSE"), 0.0)
"""What stands for a number in a text file."""
DATE = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}([T ].*)?|\d{1,2}:\d\d(:\d\d.*)?")
"""A date, with or without a time, in any common order, or a time of day."""
TEXT_TYPES = {"string", "large_string", "string_view", "null"}
FROM_DATE = "turn the column into numbers first, for example year, month, weekday"


def read(path: Path, numeric: Sequence[str], categorical: Sequence[str], plain: Sequence[str] = ()) -> dict[str, Any]:
    """Return the named columns of the file at `path`, as lists or arrays of N cells; the suffix names the file's kind.

    Columns in `plain` come as the file has them: a CSV's as text. Raises `BadInput` naming the line or the column at fault.
    """
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}
    if path.suffix not in readers:
        raise BadInput(path, f"has the suffix '{path.suffix}'", f"give one of {', '.join(readers)}")
    return readers[path.suffix](path, read_bytes(path), numeric, categorical, plain)


def names(path: Path) -> list[str]:
    """Return the names of the columns of the CSV or Parquet file at `path`, in its order."""
    if path.suffix not in (".csv", ".parquet"):
        raise BadInput(path, f"has the suffix '{path.suffix}'", "give a .csv or a .parquet")
    data = read_bytes(path)
    if path.suffix == ".parquet":
        return list(_open_parquet(path, data).schema_arrow.names)
    try:
        return next(csv.reader(io.StringIO(_decode(path, data), newline=""), strict=True), [])
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


def _decode(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadInput(path, f"line {line} is not UTF-8", "save the file as UTF-8") from None


def _read_csv(
    path: Path, data: bytes, numeric: Sequence[str], categorical: Sequence[str], plain: Sequence[str]
) -> dict[str, Any]:
    reader = csv.reader(io.StringIO(_decode(path, data), newline=""), strict=True)
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
                reason = f"line {reader.line_num} has {len(row)} cells, the header has {len(header)}"
                raise BadInput(path, reason, "quote commas in text")
            for name, column, i in numbers:
                try:
                    column.append(number(row[i]))
                except ValueError:
                    raise _no_number(path, reader.line_num, name, row[i]) from None
            for column, i in texts:
                column.append(row[i])
    except csv.Error as error:
        raise BadInput(path, f"line {reader.line_num}: {error}", "give well-formed CSV") from None
    return columns


def _position(path: Path, header: list[str], name: str) -> int:
    if header.count(name) == 1:
        return header.index(name)
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        raise BadInput(path, f"has no column '{name}', its header is {header[0][:300]!r}", "separate the cells by commas")
    reason = f"has no column '{name}'" if name not in header else f"has column '{name}' {header.count(name)} times"
    raise BadInput(path, reason, f"its columns are: {', '.join(header)[:300] or 'none'}")


def _no_number(path: Path, line: int, name: str, cell: str) -> BadInput:
    if DATE.fullmatch(cell.strip()):
        return BadInput(path, f"line {line}: '{name}' is {cell[:40]!r}, a date", FROM_DATE)
    return BadInput(path, f"line {line}: '{name}' is {cell[:40]!r}", "give a number or nothing")


def _read_jsonl(
    path: Path, data: bytes, numeric: Sequence[str], categorical: Sequence[str], plain: Sequence[str]
) -> dict[str, Any]:
    names = [*numeric, *categorical, *plain]
    columns: dict[str, list[Any]] = {name: [] for name in names}
    # split, not splitlines: text cells may hold U+2028 and its like, which JSON does not escape.
    for row_number, line in enumerate(_decode(path, data).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadInput(path, f"line {row_number} is not JSON ({error})", "give one object per line") from None
        if not isinstance(row, dict) or not row.keys() >= set(names):
            missing = [name for name in names if not isinstance(row, dict) or name not in row]
            raise BadInput(path, f"line {row_number} lacks {', '.join(missing)[:300]}", "give every column, null when unknown")
        for name in names:
            columns[name].append(row[name])
    return columns


def _open_parquet(path: Path, data: bytes) -> Any:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise BadInput(path, "reading Parquet needs pyarrow", "pip install 'isoform[parquet]'") from None
    try:
        return pq.ParquetFile(pa.BufferReader(data))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _not_parquet(path, error) from None


def _not_parquet(path: Path, error: Exception) -> BadInput:
    return BadInput(path, f"is not Parquet of numbers and text ({first_line(error)})", "give a Parquet file")


def _read_parquet(
    path: Path, data: bytes, numeric: Sequence[str], categorical: Sequence[str], plain: Sequence[str]
) -> dict[str, Any]:
    file = _open_parquet(path, data)
    import pyarrow as pa

    try:
        for name in [*numeric, *categorical, *plain]:
            _position(path, file.schema_arrow.names, name)
        table = file.read(columns=[*numeric, *categorical, *plain])
        columns = {name: _numbers(path, name, table.column(name)) for name in numeric}
        columns |= {name: _texts(path, name, table.column(name)) for name in categorical}
        return columns | {name: table.column(name).to_pylist() for name in plain}
    # Arrow's own errors, and those of turning its cells into Python's: text that is no UTF-8, dates beyond year 9999.
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise _not_parquet(path, error) from None


def _numbers(path: Path, name: str, column: Any) -> Any:
    """Return a column of Arrow as float64 [N], NaN for null."""
    import pyarrow as pa

    column = _decoded(column)
    kind, of = column.type, pa.types
    if of.is_integer(kind) or of.is_floating(kind) or of.is_boolean(kind) or of.is_decimal(kind) or of.is_null(kind):
        return column.cast(pa.float64(), safe=False).to_numpy()
    raise _refused(path, name, column, "give a number or null")


def _texts(path: Path, name: str, column: Any) -> Any:
    """Return a column of Arrow as object [N], each cell a `str`, or None for null."""
    import pyarrow as pa

    column = _decoded(column)
    if str(column.type) in TEXT_TYPES:
        return column.cast(pa.large_string()).to_numpy()
    # Not the number's text: 7 and 7.0 would become two categories.
    raise _refused(path, name, column, "list it under numeric, or turn it into text first, in training and in use alike")


def _decoded(column: Any) -> Any:
    """Return a column with the cells themselves in place of a dictionary's codes."""
    import pyarrow as pa

    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _refused(path: Path, name: str, column: Any, action: str) -> BadInput:
    import pyarrow as pa

    row = next((i for i, cell in enumerate(column) if cell.is_valid), None)
    where = f"column '{name}'" if row is None else f"row {row}: '{name}'"
    try:
        cell = "" if row is None else f" is {column.slice(row, 1).cast(pa.string())[0].as_py()[:40]!r},"
    except (pa.ArrowException, ValueError):  # a list, a struct, bytes
        cell = ""
    dates = pa.types.is_temporal(column.type)
    return BadInput(path, f"{where}{cell} of type {column.type}", FROM_DATE if dates else action)
