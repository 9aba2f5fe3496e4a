"""pipeline.sources: the shipped tables, joined as their docstrings say."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from isoform.errors import BadInput, CheckFailed
from pipeline.sources import flights, synthetic
from stages import fetch

HEADERS = {
    "flights.csv": "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,"
    "carrier,tailnum,origin,time_hour",
    "weather.csv": "origin,time_hour,temp,humid,wind_dir,wind_speed,precip,pressure,visib",
    "planes.csv": "tailnum,year,manufacturer,engine,seats",
}
ROWS = {
    "flights.csv": [
        "2013,1,7,1830,1830,0,2015,2005,15,AA,N1,JFK,2013-01-07T23:00:00Z",
        "2013,1,8,1,5,-4,100,101,14,UA,N2,EWR,2013-01-08T05:00:00Z",
        "2013,1,9,900,900,3,,1000,,UA,N1,EWR,2013-01-09T14:00:00Z",
        "2013,11,3,100,100,0,200,2359,-5,UA,N1,JFK,2013-11-03T06:00:00Z",
    ],
    "weather.csv": [
        "JFK,2013-01-07T23:00:00Z,30.5,50,10,8,0,1000,10",
        "JFK,2013-11-03T06:00:00Z,40,1,1,1,1,1,1",
        "JFK,2013-11-03T06:00:00Z,99,9,9,9,9,9,9",
    ],
    "planes.csv": ["N1,1999,BOEING,Turbo-fan,150"],
}


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    for name, header in HEADERS.items():
        (tmp_path / name).write_text("\n".join([header, *ROWS[name], ""]))
    pd.read_csv(tmp_path / "flights.csv").to_csv(tmp_path / "flights.csv.zip", index=False)
    return tmp_path


def test_a_flight_that_never_arrived_is_left_out(shipped: Path) -> None:
    table = flights.join(shipped)
    assert table["day"].tolist() == [7, 8, 3]
    assert table.index.tolist() == [0, 1, 2]


def test_late_is_fifteen_minutes_or_more(shipped: Path) -> None:
    assert flights.join(shipped)["late"].tolist() == [1, 0, 0]


def test_clock_times_become_minutes_and_dates_weekdays(shipped: Path) -> None:
    table = flights.join(shipped)
    assert table["sched_dep_minute"].tolist() == [18 * 60 + 30, 5, 60]
    assert table["sched_arr_minute"].tolist() == [20 * 60 + 5, 61, 23 * 60 + 59]
    assert table["weekday"].tolist() == [0, 1, 6]


def test_the_first_report_of_an_hour_that_stands_twice_counts(shipped: Path) -> None:
    table = flights.join(shipped)
    assert table["temp"].iloc[[0, 2]].tolist() == [30.5, 40.0]
    assert len(table) == 3


def test_what_weather_and_registry_lack_is_missing(shipped: Path) -> None:
    second = flights.join(shipped).iloc[1]
    assert np.isnan(second["temp"])
    assert np.isnan(second["plane_year"])
    assert pd.isna(second["manufacturer"])


def test_a_planes_year_is_not_the_flights(shipped: Path) -> None:
    assert flights.join(shipped)["plane_year"].iloc[0] == 1999


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="flights"):
        flights.join(tmp_path)


def test_fetched_flights_are_the_pinned_files(tmp_path: Path) -> None:
    fetch.fetch("flights", tmp_path)
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()}
    assert found == flights.SHIPPED


def test_a_shipped_file_that_is_not_the_pinned_one_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(flights.SHIPPED, "planes.csv", "0" * 64)
    with pytest.raises(CheckFailed, match=r"planes\.csv: is not the file this repository was built on"):
        flights.fetch(tmp_path)
    assert not (tmp_path / "planes.csv").exists()


def test_a_package_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flights, "PACKAGE", "no-such-package-of-flights")
    with pytest.raises(BadInput, match="is not installed; pip install"):
        flights.read_shipped("planes.csv")


def test_the_synthetic_set_is_the_documents(tmp_path: Path) -> None:
    fetch.fetch("synthetic", tmp_path / "one.parquet")
    fetch.fetch("synthetic", tmp_path / "two.parquet")
    table = pd.read_parquet(tmp_path / "one.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    assert table.columns.tolist() == [*(f"x{i}" for i in range(20)), "y"]
    assert table.shape == (1000, 21)
    assert set(table["y"]) == {0, 1}
    assert (table.dtypes.drop("y") == "float32").all()


def test_the_synthetic_module_has_what_a_source_needs() -> None:
    assert callable(synthetic.fetch)


@pytest.mark.parametrize("name", ["absent", "../flights", "", "flights.x"])
def test_an_unknown_source_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="is not known"):
        fetch.fetch(name, tmp_path)
