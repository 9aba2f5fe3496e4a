"""One file = one stage of dvc.yaml: a docstring that says what it reads and writes, one function, a short main()."""

import argparse
import contextlib
import ctypes
import importlib.util
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

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


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let no other stage write into `folder` meanwhile: two runs at once would mix their files.

    DVC's own locks do not cover a stage that was started by hand. Raises `BadInput` when another one is at work.
    """
    path = Path(".scratch", f"{folder.as_posix().replace('/', '-')}.lock")
    path.parent.mkdir(exist_ok=True)
    with _lock(path, folder):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _lock(path: Path, folder: Path) -> BinaryIO:
    """Return the file at `path`, locked; one that its last holder has removed meanwhile is no lock."""
    while True:
        file = path.open("wb")
        refuse_second_run(file, folder)
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
        file.close()


def refuse_second_run(file: BinaryIO, folder: Path) -> None:
    """Raise `BadInput` when another process holds the lock: it dies with its holder, so that none is ever left."""
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise errors.BadInput(folder, "is being written by another run", "wait for its end and run again") from None


def run(
    main: Callable[..., None], description: str | None, *names: str, alone_in: Path | None = None, **choices: list[str]
) -> None:
    """Call `main` with the positional arguments `choices` and `names`, log plain lines to stderr, and exit.

    Libraries other than the locked ones are refused first, and a second run beside this one: in `alone_in`, or in
    the folder of the model `name`. An `IsoformError` becomes one line and its exit
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
    folder = alone_in or _model_folder(options)

    def work() -> None:
        with alone(folder) if folder else contextlib.nullcontext():
            main(**options)

    sys.exit(errors.run(environment.check, debug=debug) or errors.run(work, debug=debug))


def _model_folder(options: dict[str, str]) -> Path | None:
    """Return the folder of all versions of a stage's model; None where it has none, or `main` will refuse the name."""
    if "name" not in options:
        return None
    from isoform.metadata import MODEL_NAME

    return Path("models") / options["name"] if re.fullmatch(MODEL_NAME, options["name"]) else None
