"""What a pull request changes, as Markdown: metrics, parameters, data, sizes and parity, before and after.

From Git alone: no data, no remote, no secret.

Run     python -m pipeline.review main
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import yaml

from isoform import errors
from isoform.errors import BadInput
from isoform.inspection import size_text

Documents = dict[str, Any]
"""Model name → its metadata.json at one revision."""


def review(base: str) -> Iterator[str]:
    """Yield the sections of the summary of HEAD against `base`."""
    before, after = documents(base), documents("HEAD")
    yield f"## {len(after)} models against `{base}`\n"
    yield _section("Metrics", _dvc("metrics", "diff", "--md", base, "HEAD"))
    yield _section("Parameters", _dvc("params", "diff", "--md", base, "HEAD"))
    yield _section("Data", "\n".join(table(_data_rows(before), _data_rows(after))))
    yield _section(
        "Formats: size and largest difference to the reference", "\n".join(table(_file_rows(before), _file_rows(after)))
    )


def documents(revision: str) -> Documents:
    """Return the metadata of the versions that params.yaml names at `revision`; unpublished ones are left out."""
    text = _show(revision, "params.yaml")
    kinds = yaml.safe_load(text)["models"] if text else {}
    found = {}
    for models in kinds.values():
        for name, model in models.items():
            if document := _show(revision, f"models/{name}/v{model['version']}/metadata.json"):
                found[name] = json.loads(document)
    return found


def table(before: dict[str, str], after: dict[str, str]) -> Iterator[str]:
    """Yield a Markdown table of the keys whose value differs, or one line when none does."""
    changed = [key for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)]
    if not changed:
        yield "No change."
        return
    yield from ("| | before | after |", "|---|---|---|")
    for key in changed:
        yield f"| {key} | {before.get(key, '-')} | {after.get(key, '-')} |"


def _data_rows(found: Documents) -> dict[str, str]:
    return {f"{name}: {key}": str(value)[:24] for name, document in found.items() for key, value in document["data"].items()}


def _file_rows(found: Documents) -> dict[str, str]:
    rows = {}
    for name, document in found.items():
        rows[f"{name}: version"] = document.get("version", "-")
        for entry, file in document["files"].items():
            if parity := file["parity"]:
                rows[f"{name}: {entry}"] = f"{size_text(file['bytes'])}, {parity['max_difference']:.1e}"
            elif entry not in ("config", "golden"):
                rows[f"{name}: {entry}"] = f"{size_text(file['bytes'])}, reference"
    return rows


def _section(title: str, body: str) -> str:
    text = body.strip()
    # dvc prints the head of a table, two lines, when nothing changed.
    return f"### {title}\n\n{text if text.count(chr(10)) > 1 else 'No change.'}\n"


def _show(revision: str, path: str) -> str:
    done = subprocess.run(["git", "show", f"{revision}:{path}"], capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def _dvc(*arguments: str) -> str:
    done = subprocess.run(["dvc", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise errors.CheckFailed(f"dvc {' '.join(arguments)}", done.stderr.strip() or "failed", "run it by hand")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", help="the revision to compare HEAD with")
    base = parser.parse_args().base
    if subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", f"{base}^{{commit}}"], capture_output=True, check=False
    ).returncode:
        raise BadInput(f"revision '{base}'", "is not in this clone", "fetch it: git fetch --unshallow origin")
    for section in review(base):
        print(section)


if __name__ == "__main__":
    sys.exit(errors.run(main))
