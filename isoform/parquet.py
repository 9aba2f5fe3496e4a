"""Read columns of a Parquet file, whose few bytes may stand for gigabytes."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from isoform.errors import BadInput, first_line
from isoform.rows import FROM_DATE

MAX_BYTES = 8 << 30
"""Of the columns that are read, expanded."""
TEXT_TYPES = {"string", "large_string", "string_view", "null"}
SMALLER = "give fewer rows at a time"


def names(path: Path, data: bytes) -> list[str]:
    """Return the names of the columns, in the file's order. Raises `BadInput`."""
    with _one_line(path):
        return list(_open(data).schema_arrow.names)


def read(path: Path, data: bytes, numeric: Sequence[str], categorical: Sequence[str], plain: Sequence[str]) -> dict[str, Any]:
    """Return the columns, each of which stands in the file once: float64 [N], object [N], and lists for `plain`."""
    wanted = [*numeric, *categorical, *plain]
    with _one_line(path):
        file = _open(data)
        refuse_bomb(path, file.metadata, wanted)
        kinds = {name: file.schema_arrow.field(name).type for name in wanted}
        for name in [*numeric, *categorical]:
            refuse_nested(path, name, kinds[name])
        texts = [name for name, kind in kinds.items() if _is_text(kind)]
        table = _open(data, texts).read(columns=wanted)
        for name in texts:
            refuse_text_bomb(path, name, table.column(name))
        columns = {name: _numbers(path, name, table.column(name)) for name in numeric}
        columns |= {name: _texts(path, name, table.column(name)) for name in categorical}
        return columns | {name: table.column(name).to_pylist() for name in plain}


# Each guard is a function of its own: tests/faults takes them out one at a time and watches its test turn red.


def refuse_bomb(path: Path, footer: Any, wanted: Sequence[str]) -> None:
    """Raise `BadInput` when the columns hold more than `MAX_BYTES` by the file's own account."""
    groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
    chunks = [group.column(i) for group in groups for i in range(footer.num_columns)]
    size = sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.split(".")[0] in wanted)
    size = max(size, 8 * footer.num_rows * len(wanted))
    if size > MAX_BYTES:
        raise BadInput(path, f"expands to {size} bytes, the limit is {MAX_BYTES}", SMALLER)


def refuse_nested(path: Path, name: str, kind: Any) -> None:
    """Raise `BadInput` for a column of lists or structs, before any of it is expanded."""
    import pyarrow as pa

    if pa.types.is_nested(kind):
        raise BadInput(path, f"column '{name}' of type {kind}"[:300], "give one number or text per row")


def refuse_text_bomb(path: Path, name: str, column: Any) -> None:
    """Raise `BadInput` when a few long texts stand in so many rows that they expand to more than `MAX_BYTES`."""
    import pyarrow.compute as pc

    size = sum(pc.sum(pc.binary_length(part.dictionary).take(part.indices)).as_py() or 0 for part in column.chunks)
    if size > MAX_BYTES:
        raise BadInput(path, f"column '{name}' expands to {size} bytes, the limit is {MAX_BYTES}", SMALLER)


def refuse_no_numbers(path: Path, name: str, column: Any) -> None:
    """Raise `BadInput` for a column of Arrow that holds no numbers."""
    import pyarrow as pa

    kind, of = column.type, pa.types
    if not (of.is_integer(kind) or of.is_floating(kind) or of.is_boolean(kind) or of.is_decimal(kind) or of.is_null(kind)):
        raise BadInput(path, _described(name, column), FROM_DATE if of.is_temporal(kind) else "give a number or null")


def refuse_no_texts(path: Path, name: str, column: Any) -> None:
    """Raise `BadInput` for a column of Arrow that holds no text: of numbers, 7 and 7.0 would become two categories."""
    import pyarrow as pa

    if str(column.type) not in TEXT_TYPES:
        action = "list it under numeric, or turn it into text first, in training and in use alike"
        raise BadInput(path, _described(name, column), FROM_DATE if pa.types.is_temporal(column.type) else action)


@contextlib.contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Raise `BadInput` for Arrow's errors, and for those of turning what it read into Python's objects."""
    try:
        import pyarrow as pa
    except ImportError:
        raise BadInput(path, "reading Parquet needs pyarrow", "pip install 'isoform[parquet]'") from None
    try:
        yield
    except MemoryError:  # one of Arrow's is both
        raise
    # Text that is no UTF-8, dates beyond year 9999, and whatever else a file can do to a reader.
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise BadInput(path, f"is not Parquet of numbers and text ({first_line(error)})", "give a Parquet file") from None


def _open(data: bytes, dictionaries: Sequence[str] = ()) -> Any:
    """Return the `ParquetFile`; columns in `dictionaries` are read as their distinct values and codes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.ParquetFile(pa.BufferReader(data), read_dictionary=list(dictionaries))


def _numbers(path: Path, name: str, column: Any) -> Any:
    """Return a column of Arrow as float64 [N], NaN for null."""
    import pyarrow as pa

    column = _decoded(column)
    refuse_no_numbers(path, name, column)
    return column.cast(pa.float64(), safe=False).to_numpy()


def _texts(path: Path, name: str, column: Any) -> Any:
    """Return a column of Arrow as object [N], each cell a `str`, or None for null."""
    import pyarrow as pa

    column = _decoded(column)
    refuse_no_texts(path, name, column)
    return column.cast(pa.large_string()).to_numpy()


def _is_text(kind: Any) -> bool:
    """Tell whether a type of Arrow is text or bytes, which a dictionary can hold; the file's schema says so or not."""
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return any(
        test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    )


def _decoded(column: Any) -> Any:
    """Return a column with the cells themselves in place of a dictionary's codes."""
    import pyarrow as pa

    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _described(name: str, column: Any) -> str:
    """Return the first cell of a column of Arrow, and its type."""
    import pyarrow as pa

    row = next((i for i, cell in enumerate(column) if cell.is_valid), None)
    where = f"column '{name}'" if row is None else f"row {row}: '{name}'"
    try:
        cell = "" if row is None else f" is {column.slice(row, 1).cast(pa.string())[0].as_py()[:40]!r},"
    except (pa.ArrowException, ValueError):  # a list, a struct, bytes
        cell = ""
    return f"{where}{cell} of type {column.type}"
