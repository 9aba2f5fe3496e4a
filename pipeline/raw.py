"""The raw table that params.yaml names, checked and in canonical form: nothing is split or learnt here yet."""

from pathlib import Path
from typing import Any

import numpy as np

from isoform import tables
from isoform.errors import BadInput
from isoform.rows import Columns, numbers, texts
from pipeline import target
from pipeline.params import Data


def read(data: Data) -> tuple[Columns, np.ndarray]:
    """Return the columns and the target [N] of the table at `data.source`, in its order.

    A folder is the shipped flights; a file is CSV or Parquet, read as `isoform predict` reads it. Raises `BadInput`
    naming the column and the row at fault.
    """
    cells = _cells(Path(data.source), data)
    refuse_no_rows(len(cells[data.target]), data)
    columns = {name: numbers(cells[name], name) for name in data.numeric}
    columns |= {name: texts(cells[name], name) for name in data.categorical}
    return columns, target.values(cells[data.target], data)


def refuse_no_rows(rows: int, data: Data) -> None:
    """Raise `BadInput` for a table that holds no rows."""
    if not rows:
        raise BadInput(data.source, "holds no rows", "give a table to learn from")


def refuse_other_source(source: Path) -> None:
    """Raise `BadInput` for a file of another kind."""
    if source.suffix not in (".csv", ".parquet"):
        raise BadInput("params.yaml", f"data.source is '{source}'", "name the flights' folder, a .csv or a .parquet")


def _cells(source: Path, data: Data) -> dict[str, Any]:
    if source.is_dir():
        return _flights(source, [*data.numeric, *data.categorical, data.target])
    refuse_other_source(source)
    if data.task == "regression":
        return tables.read(source, [*data.numeric, data.target], data.categorical)
    return tables.read(source, data.numeric, data.categorical, [data.target])


def _flights(folder: Path, names: list[str]) -> dict[str, Any]:
    from pipeline.sources import flights

    table = flights.join(folder)
    for name in names:
        if name not in table.columns:
            raise BadInput(folder, f"has no column '{name}'", f"its columns are: {', '.join(table.columns)[:300]}")
    return {name: table[name].to_numpy() for name in names}
