"""Record what a stage really uses: put this folder on PYTHONPATH and name a folder in ISOFORM_TRACE.

At exit each `python -m stages.…` writes a JSON file there: its arguments, the repository's modules that it
imported, the files that it opened for reading, those that it put in place, and the parameters that it looked at.
"""

import atexit
import json
import os
import sys
from pathlib import Path

TRACE = os.environ.get("ISOFORM_TRACE")
ROOT = Path.cwd()
ROOMS = ("stages/", "pipeline/", "isoform/")
read: set[str] = set()
written: set[str] = set()
looked_at: set[str] = set()


def relative(path: object) -> str | None:
    try:
        return str(Path(os.fsdecode(path)).absolute().relative_to(ROOT))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None  # a file descriptor, or a file elsewhere


def listen(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        mode, flags = arguments[1], arguments[2]
        writes = any(letter in str(mode or "") for letter in "wxa+") or (isinstance(flags, int) and flags & os.O_ACCMODE)
        path = relative(arguments[0])
        if not writes and path and not (ROOT / path).is_dir():
            read.add(path)
    elif event == "os.rename" and (path := relative(arguments[1])):
        written.add(path)


def watch_parameters() -> None:
    import pydantic

    paths: dict[int, str] = {}
    plain = pydantic.BaseModel.__getattribute__

    def watched(self: pydantic.BaseModel, name: str) -> object:
        value = plain(self, name)
        fields = type(self).__pydantic_fields__ if not name.startswith("_") else {}
        prefix = "" if type(self).__name__ == "Params" else paths.get(id(self))
        if name in fields and prefix is not None:
            path = f"{prefix}.{name}".lstrip(".")
            looked_at.add(path)
            paths[id(value)] = path
            if isinstance(value, dict):
                paths.update({id(item): f"{path}.{key}" for key, item in value.items()})
        return value

    pydantic.BaseModel.__getattribute__ = watched  # type: ignore[method-assign]


def write() -> None:
    # torch gives some modules a made-up file name.
    modules = {relative(module.__file__) for module in list(sys.modules.values()) if getattr(module, "__file__", None)}
    record = {
        "modules": sorted(path for path in modules if path and (ROOT / path).is_file() and path.startswith(ROOMS)),
        "read": sorted(read),
        "written": sorted(written),
        "params": sorted(looked_at),
    }
    name = "-".join(argument.replace("/", "_") for argument in sys.orig_argv[2:])
    Path(TRACE or ".", f"{name}.json").write_text(json.dumps(record))


if TRACE and any(argument.startswith("stages.") for argument in sys.orig_argv):
    watch_parameters()
    sys.addaudithook(listen)
    atexit.register(write)
