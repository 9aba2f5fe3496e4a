"""Read rows from a CSV, JSON Lines or Parquet file, with the standard library where that is enough."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isoform.errors import BadInput, first_line
from isoform.integrity import read_bytes
from isoform.rows import MISSING_NUMBERS


def read(path: Path, numeric: Sequence[str], categorical: Sequence[str]) -> dict[str, list[Any]]:
    """Return the named columns of the file at `path`, as lists of N cells; the suffix names the file's kind.

    Raises `BadInput` naming the line or the column at fault.
    """
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}
    if path.suffix not in readers:
        raise BadInput(path, f"has the suffix '{path.suffix}'", f"give one of {', '.join(readers)}")
    return readers[path.suffix](path, read_bytes(path), numeric, categorical)


def _decode(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadInput(path, f"line {line} is not UTF-8", "save the file as UTF-8") from None


def _read_csv(path: Path, data: bytes, numeric: Sequence[str], categorical: Sequence[str]) -> dict[str, list[Any]]:
    reader = csv.reader(io.StringIO(_decode(path, data), newline=""), strict=True)
    try:
        header = next(reader, [])
        position = {name: _position(path, header, name) for name in [*numeric, *categorical]}
        columns: dict[str, list[Any]] = {name: [] for name in position}
        for row in reader:
            if not row:
                continue  # a blank line, most often the last one
            if len(row) != len(header):
                raise BadInput(
                    path, f"line {reader.line_num} has {len(row)} cells, the header has {len(header)}", "quote commas in text"
                )
            for name in numeric:
                columns[name].append(_parse(path, reader.line_num, name, row[position[name]]))
            for name in categorical:
                columns[name].append(row[position[name]])
    except csv.Error as error:
        raise BadInput(path, f"line {reader.line_num}: {error}", "give well-formed CSV") from None
    return columns


def _position(path: Path, header: list[str], name: str) -> int:
    if header.count(name) != 1:
        reason = f"has no column '{name}'" if name not in header else f"has column '{name}' {header.count(name)} times"
        raise BadInput(path, reason, f"its columns are: {', '.join(header)[:300] or 'none'}")
    return header.index(name)


def _parse(path: Path, line: int, name: str, cell: str) -> float:
    if cell in MISSING_NUMBERS:
        return float("nan")
    try:
        if "_" in cell:  # float() reads 1_000 as a thousand; no other tool does
            raise ValueError
        return float(cell)
    except ValueError:
        raise BadInput(path, f"line {line}: '{name}' is {cell[:40]!r}", "give a number or nothing") from None


def _read_jsonl(path: Path, data: bytes, numeric: Sequence[str], categorical: Sequence[str]) -> dict[str, list[Any]]:
    names = [*numeric, *categorical]
    columns: dict[str, list[Any]] = {name: [] for name in names}
    # split, not splitlines: text cells may hold U+2028 and its like, which JSON does not escape.
    for number, line in enumerate(_decode(path, data).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadInput(path, f"line {number} is not JSON ({error})", "give one object per line") from None
        if not isinstance(row, dict) or not row.keys() >= set(names):
            missing = [name for name in names if not isinstance(row, dict) or name not in row]
            raise BadInput(path, f"line {number} lacks {', '.join(missing)[:300]}", "give every column, null when unknown")
        for name in names:
            columns[name].append(row[name])
    return columns


def _read_parquet(path: Path, data: bytes, numeric: Sequence[str], categorical: Sequence[str]) -> dict[str, list[Any]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise BadInput(path, "reading Parquet needs pyarrow", "pip install 'isoform[parquet]'") from None
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        names = file.schema_arrow.names
        for name in [*numeric, *categorical]:
            _position(path, names, name)
        table = file.read(columns=[*numeric, *categorical])
        return {name: table.column(name).to_pylist() for name in table.column_names}
    # Arrow's own errors, and those of turning its cells into Python's: text that is no UTF-8, dates beyond year 9999.
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise BadInput(path, f"is not Parquet of numbers and text ({first_line(error)})", "give a Parquet file") from None
