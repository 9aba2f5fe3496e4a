"""Taking out guards of the product: what a test of a fault does to show that it is the guard that holds it."""

import ast
import importlib
import os
import sys
import traceback
from typing import Any

BROKEN = 99
"""Exit status of a process in which a guard could not be taken out: nothing was tried in it."""


def take_out_all(guards: list[str]) -> None:
    """Take out guards; where one cannot be, end the process with a status that no test takes for a guard that was missed."""
    try:
        for guard in guards:
            take_out(guard)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(BROKEN)


def take_out(guard: str) -> None:
    """Replace `module:function` by one that lets everything pass, or set `module:CONSTANT=literal`; or do as `-c CODE` says."""
    if guard.startswith("-c "):
        exec(guard.removeprefix("-c "), {})
        return
    place, _, value = guard.partition("=")
    module_name, _, name = place.partition(":")
    *owners, last = name.split(".")
    owner: Any = importlib.import_module(module_name)
    for attribute in owners:
        owner = getattr(owner, attribute)
    guard_itself = getattr(owner, last)  # a guard that is not there guards nothing
    replacement = ast.literal_eval(value) if value else lambda *arguments, **options: None
    setattr(owner, last, replacement)
    if not value:  # wherever it was imported to, or stands in a table
        tables = [vars(module) for key, module in sys.modules.items() if key.startswith("isoform.")]
        for table in [*tables, *(inner for outer in tables for inner in outer.values() if type(inner) is dict)]:
            table.update({key: replacement for key, found in table.items() if found is guard_itself})
