"""Where else the pipeline must give the same bytes: every variation of the machine and its surroundings, as data."""

import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from proofs import workspace

Command = tuple[str, ...]
Stages = Mapping[str, Mapping[str, Any]]
"""The stages of a dvc.lock: name → cmd, deps, outs."""


def repro(_: Stages) -> list[Command]:
    """Run the pipeline as a user does."""
    return [("dvc", "repro")]


def again(_: Stages) -> list[Command]:
    """Run every stage once more where it has run."""
    return [("dvc", "repro", "--force")]


def one_by_one(stages: Stages) -> list[Command]:
    """Have DVC run the stages in another order: of those that may come next, always the last in the alphabet."""
    return [("dvc", "repro", "--single-item", *reordered(stages))]


def bare(stages: Stages) -> list[Command]:
    """Run the stages' own commands, in that other order, without DVC."""
    return [("sh", "-c", command(stages, name)) for name in reordered(stages)]


def command(stages: Stages, name: str) -> str:
    """Return the command of the stage `name` with the variable in it that DVC sets."""
    whole: str = stages[name]["cmd"].replace('"$DVC_STAGE"', name)
    return whole


def anew(*kinds: str) -> Callable[[Stages], list[Command]]:
    """Return what runs the stages of these kinds alone, their outputs taken away first; what else they need is there."""

    def commands(stages: Stages) -> list[Command]:
        chosen = [name for name in reordered(stages) if name.split("@")[0] in kinds]
        outs = [out["path"] for name in chosen for out in stages[name].get("outs", [])]
        return [("rm", "-rf", "--", *outs), *(("sh", "-c", command(stages, name)) for name in chosen)]

    return commands


def reordered(stages: Stages) -> list[str]:
    """Return every stage after those whose outputs it reads, otherwise in reverse of the alphabet."""
    made_by = {out["path"]: name for name, stage in stages.items() for out in stage.get("outs", [])}
    needs = {name: {made_by[dep["path"]] for dep in stage["deps"] if dep["path"] in made_by} for name, stage in stages.items()}
    sorter = TopologicalSorter(needs)
    sorter.prepare()
    order: list[str] = []
    ready: set[str] = set()
    while sorter.is_active():
        ready.update(sorter.get_ready())
        order.append(max(ready))
        ready.remove(order[-1])
        sorter.done(order[-1])
    return order


@dataclass(frozen=True)
class Variation:
    """One way to run the pipeline. In `env`, {place} is a folder of this run's own."""

    name: str
    prefix: Command = ()
    """What starts each stage's python; DVC itself runs as ever."""
    otherwise: Command = ()
    """Another prefix to the same end, for machines that refuse the first."""
    env: Mapping[str, str] = field(default_factory=dict)
    pinned: bool = False
    """On one core, or on all there are."""
    umask: int = 0o022
    folder: str = "checkout"
    whole: bool = True
    """Make every file of the reference; otherwise DVC's own files, and what stages left out make, are not compared."""
    warm: bool = False
    """Start in what the reference left: outputs, caches, scratch; otherwise in a fresh copy."""
    commands: Callable[[Stages], list[Command]] = repro


HASWELL = ("qemu-x86_64", "-cpu", "Haswell-v4")
EPYC = ("qemu-x86_64", "-cpu", "EPYC-v3")
# The times of files stay true. So should the timers, but FAKETIME_DONT_FAKE_MONOTONIC breaks Python's time.sleep.
FUTURE = ("env", "NO_FAKE_STAT=1", "faketime", "2031-03-04 05:06:07")
# Not the user's name alone, the number too, with the rights to the files kept.
STRANGER = ("unshare", "--user")
STRANGER_FOR_ROOT = ("setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=+dac_override", "--ambient-caps=+dac_override")

# Every number and kernel that an environment can choose, chosen badly.
KERNELS = {
    "OMP_NUM_THREADS": "3",
    "OMP_DYNAMIC": "TRUE",
    "OMP_THREAD_LIMIT": "5",
    "OMP_SCHEDULE": "dynamic",
    "MKL_NUM_THREADS": "3",
    "MKL_DYNAMIC": "TRUE",
    "MKL_CBWR": "AVX512",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "OPENBLAS_NUM_THREADS": "3",
    "OPENBLAS_CORETYPE": "Prescott",
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    "DNNL_DEFAULT_FPMATH_MODE": "BF16",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1",
    "LOKY_MAX_CPU_COUNT": "3",
    "SKLEARN_ASSUME_FINITE": "1",
}
# Fresh memory is not zero: what is written uninitialized shows. Twenty times slower.
MEMORY = {"MALLOC_PERTURB_": "165"}
# Hides instructions from glibc and from those who ask it; its exp and log round otherwise without FMA.
GLIBC = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-AVX2"}
HASHES = {"PYTHONHASHSEED": "4242", "PYTHONOPTIMIZE": "1"}
ASCII = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
ZONE = {"TZ": "Asia/Kathmandu"}
NOBODY = {"USER": "nobody", "LOGNAME": "nobody", "HOME": "{place}/home", "XDG_CACHE_HOME": "{place}/home/cache"}
ODD = """it's Žluťoučký "kůň" $HOME"""

REFERENCE = Variation("native, all cores")
VARIATIONS = (
    Variation("native, 1 core", pinned=True),
    Variation("Intel Haswell, 1 core", HASWELL, pinned=True),
    Variation("AMD EPYC, 1 core", EPYC, pinned=True),
    Variation("Intel Haswell, all cores", HASWELL),
    Variation("AMD EPYC, all cores", EPYC),
    Variation("fresh memory not zero", env=MEMORY),
    Variation("variables of kernels and threads", env=KERNELS),
    Variation("variable of glibc", env=GLIBC),
    Variation("hash seed, optimized Python", env=HASHES),
    Variation("ASCII locale", env=ASCII),
    Variation("folder of odd letters", folder=ODD),
    # DVC itself cannot encode such a folder's name under such a locale; the stages can.
    Variation("folder of odd letters, ASCII locale, without DVC", env=ASCII, folder=ODD, whole=False, commands=bare),
    Variation("time zone", env=ZONE),
    Variation("umask 077", umask=0o077),
    Variation("umask 000", umask=0o000),
    Variation("clock years ahead", FUTURE),
    Variation("another user and home", STRANGER, otherwise=STRANGER_FOR_ROOT, env=NOBODY),
    Variation("again in the same folder", warm=True, commands=again),
    # DVC writes dvc.lock in the order in which the stages first ran.
    Variation("stages in another order", whole=False, commands=one_by_one),
    Variation("without DVC, in another order", commands=bare, whole=False),
)
# The same in five minutes on two cores: what computes, half of it on each CPU, and surroundings that bear each other.
QUICK = (
    Variation(
        "AMD EPYC, 1 core: networks trained and validated",
        EPYC,
        pinned=True,
        warm=True,
        commands=anew("train_torch", "validate_torch"),
    ),
    Variation(
        "Intel Haswell, 1 core: scikit-learn's models trained and validated",
        HASWELL,
        pinned=True,
        warm=True,
        commands=anew("train_sklearn", "validate_sklearn"),
    ),
    Variation(
        "1 core, hash seed, variables, time zone, umask 077, ASCII locale, odd folder, without DVC",
        pinned=True,
        env=KERNELS | HASHES | ZONE | ASCII,
        umask=0o077,
        folder=ODD,
        whole=False,
        commands=bare,
    ),
    Variation(
        "another user and home, clock years ahead, umask 000, another order",
        (*STRANGER, *FUTURE),
        otherwise=(*STRANGER_FOR_ROOT, *FUTURE),
        env=NOBODY,
        umask=0o000,
        whole=False,
        commands=one_by_one,
    ),
)

PACKAGES = {
    "qemu-x86_64": "qemu-user",
    "faketime": "faketime",
    "taskset": "util-linux",
    "unshare": "util-linux",
    "setpriv": "util-linux",
}
"""Program → Debian's package of it."""


def programs(variations: Sequence[Variation]) -> list[str]:
    """Return the programs of `PACKAGES` that the variations start."""
    words = {word for variation in variations for word in variation.prefix}
    words |= {"taskset" for variation in variations if variation.pinned}
    return sorted(words & PACKAGES.keys())


def wrapper(prefix: Command, python: str) -> str:
    """Return a script to be called `python`: an emulator does not follow the exec of a program that it runs."""
    return f'#!/bin/sh\nexec {shlex.join((*prefix, python))} "$@"\n'


def surroundings(variation: Variation, place: Path, core: int) -> dict[str, str]:
    """Make `place` and return an environment whose `python` is started as the variation says."""
    (place / "bin").mkdir(parents=True)
    (place / "home").mkdir()
    script = place / "bin" / "python"
    pin = ("taskset", "-c", str(core)) if variation.pinned else ()
    script.write_text(wrapper((*pin, *variation.prefix), sys.executable))
    script.chmod(0o755)
    environment = workspace.environment(**{name: value.format(place=place) for name, value in variation.env.items()})
    return environment | {"PATH": f"{script.parent}{os.pathsep}{environment['PATH']}"}
