"""Keep the binaries of versions that params.yaml has left, so that a version bump loses nothing.

dvc.lock names only the versions in params.yaml. `dvc add` gives an earlier one its own pointers (.dvc files,
in Git), without a copy. Run it after the new version is built and commit both together: once a bump is
committed without them, `dvc checkout` removes the old binaries.

Run     python -m pipeline.keep
"""

import subprocess
import sys
from pathlib import Path

from isoform import errors
from isoform.metadata import read
from pipeline import layout, params


def left_behind(models: Path, current: set[Path]) -> list[Path]:
    """Return the model files of published versions that are neither current nor pointed to already."""
    found = []
    for document in sorted(models.glob("*/v*/metadata.json")):
        if document.parent in current:
            continue
        names = [entry.path for entry in read(document.parent).files.values() if not entry.path.endswith(".json")]
        paths = [document.parent / name for name in names]
        found += [path for path in paths if path.exists() and not path.with_name(f"{path.name}.dvc").exists()]
    return found


def main() -> None:
    settings = params.load()
    models = {**settings.models.sklearn, **settings.models.torch}
    current = {layout.version_dir(name, model.version) for name, model in models.items()}
    found = left_behind(Path("models"), current)
    for path in found:
        print(path)
    if found:
        subprocess.run(["dvc", "add", "--quiet", *map(str, found)], check=True)
    print(f"{len(found)} files of earlier versions got pointers; commit them together with the new version")


if __name__ == "__main__":
    sys.exit(errors.run(main))
