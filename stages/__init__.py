"""One file = one stage of dvc.yaml: a docstring that says what it reads and writes, one function, a short main()."""

import argparse
import ctypes
import importlib.util
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

if not all(map(importlib.util.find_spec, ("yaml", "pydantic", "pyarrow", "skl2onnx", "safetensors"))):
    # 'dvc repro' takes `python` from PATH: with .venv/bin/dvc and no activated environment that is another one.
    sys.exit(f"error: {sys.executable}: has none of requirements.lock installed; activate .venv, or run 'make run'")

if sys.argv[0] == "-m" and (sys.getfilesystemencoding() != "utf-8" or "GLIBC_TUNABLES" in os.environ):
    # Both are read when a process starts, so start again. Under an ASCII locale torch's exporter stumbles over its own
    # ticks, and over the letters of the checkout's path; GLIBC_TUNABLES can choose another exp and log.
    kept = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**kept, "PYTHONUTF8": "1"})

from isoform import errors
from isoform.arguments import Parser
from pipeline import determinism


def end_with_parent() -> None:
    """Have the system kill this process when its parent is gone: a killed `dvc` must leave no stage running.

    Linux only; elsewhere a stage whose `dvc` was killed runs to its end.
    """
    if sys.platform != "linux":
        return
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1 and b"dvc" not in Path("/proc/1/cmdline").read_bytes():  # it was killed just before
        os.kill(os.getpid(), signal.SIGKILL)


if "DVC_STAGE" in os.environ:
    end_with_parent()
# Before any stage imports numpy or torch, however the stage is started.
determinism.pin_environment()


def model_name(argument: str) -> str:
    """Return the model's name from itself or from its stage's, `train_sklearn@pipeline_rf`, which is what DVC_STAGE holds."""
    return argument.rpartition("@")[2]


def run(main: Callable[..., None], description: str | None, *names: str, **choices: list[str]) -> None:
    """Call `main` with the positional arguments `choices` and `names`, log plain lines to stderr, and exit.

    Libraries other than the locked ones are refused first. An `IsoformError` becomes one line and its exit
    status; `--debug` adds the traceback.
    """
    import logging

    from pipeline import environment

    program = f"python -m stages.{Path(sys.argv[0]).stem}"
    parser = Parser(program, description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, values in choices.items():
        parser.add_argument(name, choices=values)
    for name in names:
        parser.add_argument(name, type=model_name if name == "name" else str)
    parser.add_argument("--debug", action="store_true", help="show the traceback behind an error")
    options = vars(parser.parse_args())
    debug = options.pop("debug")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    # As Ctrl-C: what is half done is removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(errors.run(environment.check, debug=debug) or errors.run(lambda: main(**options), debug=debug))
