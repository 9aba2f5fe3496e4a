"""One file = one stage of dvc.yaml: a docstring that says what it reads and writes, one function, a short main()."""

import argparse
import importlib.util
import sys

from isoform import errors
from pipeline import determinism

# Before any stage imports numpy or torch, however the stage is started.
determinism.pin_environment()


def run(main: object, description: str | None, *names: str) -> None:
    """Call `main` with the positional arguments `names`, log plain lines to stderr, and exit.

    An `IsoformError` becomes one line and its exit status; `--debug` adds the traceback.
    """
    import logging

    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in names:
        parser.add_argument(name)
    parser.add_argument("--debug", action="store_true", help="show the traceback behind an error")
    options = vars(parser.parse_args())
    debug = options.pop("debug")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    assert callable(main)
    sys.exit(errors.run(lambda: main(**options), debug=debug))


if importlib.util.find_spec("pydantic") is None:
    # 'dvc repro' takes `python` from PATH: with .venv/bin/dvc and no activated environment that is another one.
    sys.exit(f"error: {sys.executable}: has none of requirements.lock installed; activate .venv, or run 'make run'")
