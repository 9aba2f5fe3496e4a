"""One file = one stage of dvc.yaml: a docstring that says what it reads and writes, one function, a short main()."""

import argparse
import importlib.util
import sys
from collections.abc import Callable

from isoform import errors
from pipeline import determinism

# Before any stage imports numpy or torch, however the stage is started.
determinism.pin_environment()


def run(main: Callable[..., None], description: str | None, *names: str, **choices: list[str]) -> None:
    """Call `main` with the positional arguments `choices` and `names`, log plain lines to stderr, and exit.

    An `IsoformError` becomes one line and its exit status; `--debug` adds the traceback.
    """
    import logging

    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, values in choices.items():
        parser.add_argument(name, choices=values)
    for name in names:
        parser.add_argument(name)
    parser.add_argument("--debug", action="store_true", help="show the traceback behind an error")
    options = vars(parser.parse_args())
    debug = options.pop("debug")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    sys.exit(errors.run(lambda: main(**options), debug=debug))


if not all(map(importlib.util.find_spec, ("pydantic", "pyarrow", "skl2onnx", "safetensors"))):
    # 'dvc repro' takes `python` from PATH: with .venv/bin/dvc and no activated environment that is another one.
    sys.exit(f"error: {sys.executable}: has none of requirements.lock installed; activate .venv, or run 'make run'")
