"""`dvc repro` with nothing to do: this pipeline against trivial stages of the same graph.

Both are run once, then asked again and again in turn. The trivial pipeline has our dvc.lock's stages, each with
as many dependencies, outputs and parameters and the same edges between them, but its files hold one line, its
commands only write them, and its dvc.yaml has no loops. Ours is built from a sample of 5,000 rows.

Run     python -m benchmarks.noop_repro [--repeats 9]     (some two minutes)
"""

import argparse
import re
import tempfile
from pathlib import Path
from typing import Any

import yaml

from benchmarks.timing import Ratio, clone, execute, interleaved, say, seconds, use_two_cores

LIMIT = 1.3
ROWS = 5000


def measure(repeats: int = 9) -> tuple[Ratio, dict[str, int]]:
    """Return the ratio of the medians and how many stages, dependencies, outputs and parameters both have."""
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        ours = clone(scratch, "ours")
        sample(ours)
        say(f"building our pipeline from {ROWS} rows")
        execute(["dvc", "repro"], ours, scratch)
        locked = yaml.safe_load((ours / "dvc.lock").read_text())["stages"]
        trivial = generate(scratch / "trivial", ours, locked, scratch)
        say("building the trivial pipeline")
        execute(["dvc", "repro"], trivial, scratch)
        for folder in (ours, trivial):
            noop(folder, scratch)  # the first may still write to DVC's state
        ours_s, trivial_s = interleaved(
            [lambda: noop(ours, scratch), lambda: noop(trivial, scratch)], repeats, "nothing to do, ours and trivial"
        )
    ratio = Ratio(
        what="dvc repro with nothing to do",
        numerator=f"this pipeline (median of {repeats})",
        denominator="trivial stages, same graph",
        numerator_s=ours_s,
        denominator_s=trivial_s,
        limit=LIMIT,
    )
    return ratio, counts(locked)


def sample(folder: Path) -> None:
    """Cap `data.rows` in the params.yaml of `folder`."""
    path = folder / "params.yaml"
    path.write_text(re.sub(r"^(  rows: )\d+", rf"\g<1>{ROWS}", path.read_text(), flags=re.MULTILINE))


def noop(folder: Path, scratch: Path) -> float:
    """Return the seconds of one `dvc repro`; refuse to time one that ran a stage."""
    output: list[str] = []
    elapsed = seconds(lambda: output.append(execute(["dvc", "repro"], folder, scratch)))
    if "Running stage" in output[0]:
        raise RuntimeError(f"dvc repro had something to do:\n{output[0]}")
    return elapsed


def counts(locked: dict[str, Any]) -> dict[str, int]:
    """Return the totals over all stages of a dvc.lock."""
    totals = {kind: sum(len(stage.get(kind, [])) for stage in locked.values()) for kind in ("deps", "outs")}
    parameters = sum(len(keys) for stage in locked.values() for keys in stage.get("params", {}).values())
    return {"stages": len(locked), **totals, "params": parameters}


def generate(folder: Path, ours: Path, locked: dict[str, Any], scratch: Path) -> Path:
    """Write to `folder` a repository of trivial stages with the graph of `locked`."""
    folder.mkdir()
    execute(["git", "init", "--quiet"], folder, scratch)
    execute(["dvc", "init", "--quiet"], folder, scratch)
    (folder / ".dvc" / "config").write_bytes((ours / ".dvc" / "config").read_bytes())
    names: dict[str, str] = {}
    stages: dict[str, Any] = {}
    parameters: dict[str, int] = {}
    for number, stage in enumerate(locked.values()):
        deps = [names.setdefault(dep["path"], f"file_{len(names)}") for dep in stage.get("deps", [])]
        outs = [(names.setdefault(out["path"], f"file_{len(names)}"), is_cached(ours, out)) for out in stage.get("outs", [])]
        used = [f"p{number}_{i}" for keys in stage.get("params", {}).values() for i in range(len(keys))]
        parameters |= dict.fromkeys(used, number)
        stages[f"stage_{number}"] = {
            "cmd": " && ".join(f"echo {number} > {name}" for name, _ in outs),
            "deps": deps,
            "params": used,
            "outs": [name if cached else {name: {"cache": False}} for name, cached in outs],
        }
    written = {out["path"] for stage in locked.values() for out in stage.get("outs", [])}
    for path in names.keys() - written:
        (folder / names[path]).write_text(f"{names[path]}\n")
    (folder / "params.yaml").write_text(yaml.safe_dump(parameters))
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    return folder


def is_cached(ours: Path, out: dict[str, Any]) -> bool:
    """Return whether DVC keeps this output in its cache; dvc.lock does not say."""
    md5: str = out["md5"]
    return (ours / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]).exists()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9, help="timed calls of each")
    use_two_cores()
    ratio, totals = measure(max(1, parser.parse_args().repeats))
    print("\n".join(ratio.lines()))
    print(f"  both have {', '.join(f'{value} {kind}' for kind, value in totals.items())}")


if __name__ == "__main__":
    main()
