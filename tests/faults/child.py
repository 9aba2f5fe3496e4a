"""The process in which faults are tried: it watches itself, and forks for each one.

Starting Python with its libraries takes seconds, forking milliseconds. So this process loads the libraries, has the good
versions answered once, and then forks for each request that it reads from stdin: a JSON object a line (see `Request` in
harness.py); it answers each with one on stdout. In the fork an audit hook that was installed before anything else reports
what loading a file never does.
"""
# ruff: noqa: E402, PTH123, PLW0603 - nothing is imported before the hook is there

import sys

CODE: object = None
"""What the fork is there to run."""
EVENTS = -1
"""The file to which the fork reports, a line of JSON each, while it is watched."""
FORBIDDEN = (
    "exec",
    "import",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.spawn",
    "os.kill",
    "signal.pthread_kill",
    "pty.",
    "socket.",
    "ctypes.",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.chmod",
    "os.chown",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.utime",
    "os.setxattr",
    "os.removexattr",
    "shutil.",
    "tempfile.",
    "urllib.",
    "webbrowser.",
)


def watch(event: str, arguments: tuple[object, ...]) -> None:
    """Report an event that loading never raises, at once: what comes next may end the process."""
    if EVENTS < 0 or (event == "exec" and arguments[0] is CODE):
        return
    if arguments and isinstance(arguments[0], str | os.PathLike) and LOCK.fullmatch(os.fspath(arguments[0])):
        return  # a stage's lock, which is there before it looks at anything
    if event == "open":
        mode, flags = arguments[1], arguments[2]
        writes = bool(set(mode) & set("wax+")) if isinstance(mode, str) else bool(isinstance(flags, int) and flags & WRITES)
        if writes:
            report(f"open {arguments[0]!r} for writing")
    elif event == "import":
        if arguments[0] not in sys.modules:
            report(f"import {arguments[0]}")
    elif event.startswith(FORBIDDEN):
        report(f"{event} {arguments!r}"[:200])


def report(seen: str) -> None:
    os.write(EVENTS, (json.dumps(seen) + "\n").encode())


sys.addaudithook(watch)

import contextlib
import ctypes
import importlib.util
import json
import os
import re
import resource
import select
import signal
import time
from collections.abc import Callable
from typing import Any

from guards import take_out_all

LOCK = re.compile(r"\.scratch(/[\w-]+\.lock)?")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def program(command: list[str]) -> Callable[[], int]:
    """Return what is run by `isoform COMMAND`, or, as Python takes them, by `-m MODULE …` and `-c CODE …`."""
    global CODE
    from isoform import cli

    if command[0] == "-m":
        spec: Any = importlib.util.find_spec(command[1])
        CODE, sys.argv = spec.loader.get_code(command[1]), [spec.origin, *command[2:]]
    elif command[0] == "-c":
        CODE, sys.argv = compile(command[1], "<string>", "exec"), command[1:]
    else:
        return lambda: cli.main(command)
    return lambda: exec(CODE, {"__name__": "__main__"}) or 0  # type: ignore[arg-type, func-returns-value]


def attempt(request: dict[str, Any], events: int) -> int:
    """Run the command of a request in this process, watched and limited, and return its exit status."""
    global EVENTS
    take_out_all(request["without"])
    main = program(request["command"])
    os.chdir(request["root"])
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + request["more_memory_bytes"],) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    EVENTS = events
    try:
        return main()
    except SystemExit as exit:
        return exit.code or 0 if isinstance(exit.code, int | None) else 2
    finally:
        EVENTS = -1


def in_fork(request: dict[str, Any]) -> None:
    """Run the request with its output in files; a traceback is written where a user would see it."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: a test that is stopped leaves nothing running
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(f"{request['scratch']}/{name}", os.O_WRONLY), number)
    events = os.open(f"{request['scratch']}/events", os.O_WRONLY)
    status = 70
    try:
        status = attempt(request, events)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Fork, wait for the request's end or its time limit, and return what came of it."""
    for name in ("stdout", "stderr", "events"):  # here: a fork may die before it does anything
        open(f"{request['scratch']}/{name}", "w").close()
    process = os.fork()
    if not process:
        in_fork(request)
    return ended(process, request["timeout_s"])


def ended(process: int, timeout_s: float) -> dict[str, Any]:
    """Wait for the end of a fork, or its time limit, and return what came of it."""
    began = time.monotonic()
    handle = os.pidfd_open(process)
    in_time = bool(select.select([handle], [], [], timeout_s)[0])
    if not in_time:
        os.kill(process, signal.SIGKILL)
    _, status, usage = os.wait4(process, 0)
    os.close(handle)
    return {
        "status": os.waitstatus_to_exitcode(status),
        "timed_out": not in_time,
        "peak_bytes": usage.ru_maxrss * 1024,
        "seconds": time.monotonic() - began,
    }


def warm(commands: list[list[str]]) -> None:
    """Run commands that succeed, so that whatever they import is there before the forks; of `-m MODULE` import the module."""
    for command in commands:
        if command[0] == "-m":  # the stages first: they set what numpy and torch read when they are loaded
            importlib.import_module(command[1])
    from isoform import cli
    from isoform.formats.allowlist import CALLS, CLASSES, VALUES

    for module in (*CALLS, *CLASSES, *VALUES):
        importlib.import_module(module)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        for command in commands:
            if command[0] != "-m" and cli.main(command):
                raise RuntimeError(f"isoform {' '.join(command)} failed on a good version")


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    warm(json.loads(sys.stdin.readline()))
    print("{}", file=answers, flush=True)
    while line := sys.stdin.readline():
        print(json.dumps(serve(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
