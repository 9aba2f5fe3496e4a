"""A command of dvc or isoform in a process forked from one that has loaded their libraries: a second less for each.

A module of its own, which imports nothing of ours until the command does: the process that forks imports it first.
"""

import multiprocessing
import os
import sys

LOADED = ["dvc.cli", "dvc.repo", "dvc.commands.data_sync", "dvc.commands.add", "dvc.commands.repro", "dvc.commands.remote"]
LOADED += [
    "dvc_s3",
    "s3fs",
    "dvc_ssh",
    "sshfs",
    "isoform.cli",
    "isoform.remotes",
    "isoform.verification",
    "onnxruntime",
]
forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload([*LOADED, __name__])


def run(command: list[str], folder: str, variables: dict[str, str], streams: str, without: str) -> None:
    """Run `dvc …` or `isoform …` and end the process; `without` is a guard to take out, as in harness.Fault."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(f"{streams}/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    if command[0] == "dvc":
        from dvc.cli import main
    else:
        from isoform.cli import main
    if without:
        from guards import take_out_all

        take_out_all([without])
    sys.exit(main(command[1:]))
