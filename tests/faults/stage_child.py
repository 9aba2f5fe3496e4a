"""The process in which stages are struck: it has them loaded, and forks for each run as child.py does for each command.

A request names a workspace and a stage with its arguments, and says what befalls the run: `inject`, options of strace that do
something to its calls of the system; `file_bytes`, the size at which files end as on a full disk (with `kill`, so does the
process); `powerless`, no rights of root; `stops`, that strace stops it and it is left so until `resume`.
What a stage computes before it writes is computed once and remembered: it changes no file.
"""

import ast
import contextlib
import ctypes
import functools
import gc
import importlib
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from child import ended
from guards import take_out_all

import stages  # noqa: F401 - before numpy: it sets what numpy and torch read when they are loaded
from isoform.integrity import sha256
from pipeline import environment

COMPUTED = {
    "stages.train_sklearn": ["train"],
    "stages.export_onnx": ["export_sklearn", "export_torch"],
    "stages.validate": ["reload", "validate"],
    "pipeline.metrics": ["evaluate", "tables"],
}
"""Module → its functions that take long and touch no file."""
CHANGING = (
    "?openat,?mkdir,?mkdirat,?rmdir,?write,?pwrite64,?writev,?pwritev,?fsync,?fdatasync,?fchmod,?chmod,?fchmodat,?ftruncate,"
    "?fallocate,?rename,?renameat,?renameat2,?unlink,?unlinkat,?link,?linkat,?symlink,?symlinkat,?copy_file_range,?sendfile"
)
"""The system's calls that change files; '?': where there is such a call."""
PR_SET_PTRACER, ANY = 0x59616D61, ctypes.c_ulong(-1)
PR_SET_PDEATHSIG = 1
CAPABILITY_VERSION = 0x20080522


def remember(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function`, called once for each params.yaml and command line."""
    known: dict[tuple[object, ...], Any] = {}

    @functools.wraps(function)
    def remembered(*arguments: Any, **options: Any) -> Any:
        key = (sha256(Path("params.yaml").read_bytes()), *sys.argv)
        if key not in known:
            known[key] = function(*arguments, **options)
        return known[key]

    return remembered


def run(stage: str, *arguments: str) -> int:
    """Do what `python -m stages.STAGE ARGUMENTS` does, in this process, and return its exit status."""
    module = importlib.import_module(f"stages.{stage}")
    sys.argv = [stage, *arguments]
    # The last lines of the file: `if __name__ == "__main__": run(...)`.
    call = ast.parse(Path(str(module.__file__)).read_text()).body[-1]
    assert isinstance(call, ast.If)
    try:
        exec(compile(ast.Module(call.body, []), str(module.__file__), "exec"), vars(module))
    except SystemExit as exit:
        return exit.code if isinstance(exit.code, int) else 2
    raise RuntimeError(f"{stage} did not exit")


def give_up_rights() -> None:
    """Drop every capability of this thread: file permissions hold for root, too."""
    header, nothing = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(header, nothing):
        raise OSError(ctypes.get_errno(), "capset")


def in_fork(request: dict[str, Any], begin: int) -> None:
    """Wait for the tracer, run the stage with its output in files, and exit."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(f"{request['scratch']}/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    gc.disable()  # it would write to every page, and copy what is shared with the parent
    status = 70
    try:
        os.chdir(request["root"])
        tempfile._name_sequence = iter(f"{number:08}" for number in range(10**8))  # type: ignore[assignment]
        if request["file_bytes"] is not None:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_bytes"], resource.RLIM_INFINITY))
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL if request["kill"] else signal.SIG_IGN)
        if request["powerless"]:
            give_up_rights()
        os.read(begin, 1)
        take_out_all(request["without"])
        status = run(*request["stage"])
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def trace(process: int, scratch: str, inject: list[str]) -> "subprocess.Popen[str]":
    """Attach strace to `process`, and return when it watches."""
    command = ["strace", "-f", "-y", "-s", "0", "-o", f"{scratch}/log", "-e", f"trace={CHANGING}", "-e", "signal=none"]
    tracer = subprocess.Popen([*command, *inject, "-p", str(process)], stderr=subprocess.PIPE, text=True)
    while b"TracerPid:\t0" in Path(f"/proc/{process}/status").read_bytes():
        if tracer.poll() is not None:
            raise RuntimeError(f"strace cannot watch a process here: {tracer.communicate()[1]}")
        time.sleep(0.001)
    return tracer


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Fork, strike, and return what came of it."""
    waits, begins = os.pipe()
    process = os.fork()
    if not process:
        os.close(begins)
        ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANY)  # where only ancestors may trace: strace will be a sibling
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # when a test fails, no stopped run is left
        in_fork(request, waits)
    os.close(waits)
    try:
        tracer = trace(process, request["scratch"], request["inject"]) if request["inject"] is not None else None
    finally:
        os.close(begins)
    if request["stops"]:
        os.waitpid(process, os.WUNTRACED)
        return {"process": process}
    outcome = ended(process, request["timeout_s"])
    if tracer:
        tracer.communicate()
    return outcome


def resume(request: dict[str, Any]) -> dict[str, Any]:
    """Let a stopped run go on to its end."""
    os.kill(request["process"], signal.SIGCONT)
    return ended(request["process"], request["timeout_s"])


def warm(request: dict[str, Any]) -> dict[str, Any]:
    """Run the stage here, undisturbed, so that what it computes and imports is there before the forks."""
    with contextlib.chdir(request["root"]):
        return {"status": run(*request["stage"])}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    logging.getLogger().addHandler(logging.NullHandler())  # the lines that tell the progress are no refusals
    environment.check = lambda: None  # it reads the versions of all libraries, and no file of the workspace
    for place, names in COMPUTED.items():
        module = importlib.import_module(place)
        for name in names:
            setattr(module, name, remember(getattr(module, name)))
    sys.stdin.readline()
    print("{}", file=answers, flush=True)
    while line := sys.stdin.readline():
        request = json.loads(line)
        answer = {"warm": warm, "strike": serve, "resume": resume}[request["do"]](request)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
