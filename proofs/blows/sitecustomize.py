"""Strike a process from inside, at a moment that no clock hits reliably; `proofs.crash_trials` puts this on PYTHONPATH.

A moment is a file of the workspace being opened for writing, closed off by chmod, renamed or removed. `ISOFORM_BLOW`
(JSON) says in which process (`victim`, how its command line ends), `after` which command it started, at which moment
(`at`, from 1, of those that match `pattern`), and what: `signal` to `whom` (self, leader or group), or no more than
`bytes` in any file from then on. With `ISOFORM_MOMENTS` nothing is struck: every moment is added to the file it names.
"""

import json
import os
import re
import resource
import signal
import sys

BLOW = json.loads(os.environ.get("ISOFORM_BLOW", "null"))
MOMENTS = os.environ.get("ISOFORM_MOMENTS")
ROOT = f"{os.getcwd()}/"  # noqa: PTH109 - pathlib raises events of its own
COMMAND = " ".join([sys.orig_argv[0], *(os.path.basename(word) for word in sys.orig_argv[1:2]), *sys.orig_argv[2:]])  # noqa: PTH119
PLACES = {"open": 0, "os.chmod": 0, "os.rename": 1, "os.remove": 0}
"""Audit event → which of its arguments names the file."""
seen = 0
started = False


def moment(event: str, arguments: tuple[object, ...]) -> str | None:
    """Return the event and the file, in words, when it changes a file of the workspace."""
    if event not in PLACES:
        return None
    place = arguments[PLACES[event]]
    if event == "os.chmod" and isinstance(place, int):
        return "chmod, content written"
    if not isinstance(place, str | bytes):
        return None
    path = os.path.abspath(os.fsdecode(place))  # noqa: PTH100
    if not path.startswith(ROOT) or "__pycache__" in path:
        return None
    if event == "open":
        mode, flags = arguments[1], arguments[2]
        if not (any(letter in str(mode or "") for letter in "wxa+") or (isinstance(flags, int) and flags & os.O_ACCMODE)):
            return None
    return f"{event.removeprefix('os.')} {path.removeprefix(ROOT)}"


def begun(arguments: tuple[object, ...]) -> str:
    """Return a command line that is being started, with the variable in it that DVC sets."""
    _, words, _, environment = arguments
    return " ".join(map(str, words)).replace('"$DVC_STAGE"', (environment or {}).get("DVC_STAGE", ""))  # type: ignore[call-overload, attr-defined]


def record(event: str, arguments: tuple[object, ...]) -> None:
    words = f"start {begun(arguments)}" if event == "subprocess.Popen" else moment(event, arguments)
    if words:
        os.write(NOTES, f"{COMMAND}\t{words}\n".encode())


def listen(event: str, arguments: tuple[object, ...]) -> None:
    global seen, started  # noqa: PLW0603 - a hook has no other memory
    if event == "subprocess.Popen" and BLOW["after"] in begun(arguments):
        started = True
    if not started or seen >= BLOW["at"]:
        return
    words = moment(event, arguments)
    if words is None or not re.search(BLOW["pattern"], words) or (BLOW["bytes"] and not words.startswith("open")):
        return
    seen += 1
    if seen == BLOW["at"]:
        strike(words)


def strike(words: str) -> None:
    os.write(2, f"blow: {words}\n".encode())
    if BLOW["bytes"] is not None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if BLOW["signal"]:  # the kernel kills at that byte, half-way through a write; else the write fails
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        for process in {os.getpid(), os.getpid() if BLOW["signal"] else os.getpgid(0)}:  # a full disk is dvc's as well
            resource.prlimit(process, resource.RLIMIT_FSIZE, (BLOW["bytes"], resource.RLIM_INFINITY))
    elif BLOW["whom"] == "group":
        os.killpg(0, BLOW["signal"])
    else:
        os.kill(os.getpid() if BLOW["whom"] == "self" else os.getpgid(0), BLOW["signal"])


if MOMENTS and ("-m stages." in COMMAND or COMMAND.endswith("dvc repro")):
    NOTES = os.open(MOMENTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    sys.addaudithook(record)
elif BLOW and COMMAND.endswith(BLOW["victim"]):
    started = not BLOW["after"]
    sys.addaudithook(listen)
