"""isoform on the command line: results on stdout, one line on stderr for what is wrong, and the exit status."""

import csv
import io
import json
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import CATEGORICAL, MODELS, NUMERIC, REPOSITORY, Workspace, python

from isoform import load
from isoform.cli import main
from isoform.formats import FORMATS
from pipeline.publishing import FORMATS_OF

Capture = pytest.CaptureFixture[str]
ENTRIES = [(model, entry) for model, kind in MODELS.items() for entry in [*FORMATS_OF[kind], "config", "golden"]]  # type: ignore[index]


def run(capsys: Capture, *arguments: str | Path) -> tuple[int, str, str]:
    capsys.readouterr()
    status = main([*map(str, arguments)])
    return status, *capsys.readouterr()


def refused(capsys: Capture, *arguments: str | Path) -> str:
    """Return the one line on stderr of a call whose input is wrong."""
    status, out, err = run(capsys, *arguments)
    assert status == 2
    assert out in ("", f"{arguments[-1]}\n1 version, 1 bad file\n")  # verify says which folder it was at
    assert re.fullmatch(r"error: [^\n]+: [^\n]+; [^\n]+\n", err), err
    return err


def frame(workspace: Workspace) -> pd.DataFrame:
    return pd.DataFrame(workspace.test_rows()[0])


def write(path: Path, table: pd.DataFrame) -> Path:
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True, double_precision=15)
    else:
        table.to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_predict_prints_label_and_probabilities_of_every_row(
    suffix: str, published: Callable[[str], Workspace], tmp_path: Path, capsys: Capture
) -> None:
    workspace = published("text_classes")
    path = write(tmp_path / f"rows{suffix}", frame(workspace))
    status, out, err = run(capsys, "predict", workspace.folder("forest"), path)
    header, *rows = list(csv.reader(io.StringIO(out)))
    model = load(workspace.folder("forest"))
    assert (status, err) == (0, "")
    assert header == ["label", "probability_no", "probability_perhaps", "probability_yes"]
    assert [row[0] for row in rows] == model.predict(frame(workspace)).tolist()
    found = np.array([row[1:] for row in rows], dtype=np.float32)
    assert found.tobytes() == model.predict_proba(frame(workspace)).tobytes()


def test_predict_of_no_rows_prints_the_header(published: Callable[[str], Workspace], tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "rows.csv").write_text(",".join([*NUMERIC, *CATEGORICAL]) + "\n")
    found = run(capsys, "predict", published("mixed").folder("network"), tmp_path / "rows.csv")
    assert found == (0, "label,probability_0,probability_1\n", "")


@pytest.mark.parametrize("name", FORMATS_OF["torch"])
def test_predict_takes_a_format_by_name(
    name: str, published: Callable[[str], Workspace], tmp_path: Path, capsys: Capture
) -> None:
    workspace = published("mixed")
    path = write(tmp_path / "rows.parquet", frame(workspace))
    arguments = ["--format", name, *(["--trust-pickle"] if not FORMATS[name].safe else [])]
    status, out, _ = run(capsys, "predict", workspace.folder("network"), path, *arguments)
    plain = run(capsys, "predict", workspace.folder("network"), path)[1]
    assert status == 0
    assert [line[0] for line in out.splitlines()] == [line[0] for line in plain.splitlines()]


def test_inspect_prints_what_a_version_and_a_file_hold(published: Callable[[str], Workspace], capsys: Capture) -> None:
    workspace = published("mixed")
    status, out, err = run(capsys, "inspect", workspace.folder("forest"))
    assert (status, err) == (0, "")
    assert out.startswith("forest 1.0.0  scikit-learn")
    status, out, err = run(capsys, "inspect", workspace.file("network", "safetensors"))
    assert (status, err) == (0, "")
    assert "features.normalize.mean" in out


def test_verify_finds_every_version_under_models(
    published: Callable[[str], Workspace], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(published("mixed").root)
    status, out, err = run(capsys, "verify", "--trust-pickle")
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == "3 versions, no bad files"
    assert sum("golden rows replayed" in line for line in out.splitlines()) == 11


@pytest.mark.parametrize(("model", "entry"), ENTRIES)
def test_a_flipped_byte_in_any_file_fails_the_check_in_one_line(
    model: str, entry: str, workspace: Workspace, capsys: Capture
) -> None:
    path = workspace.folder(model) / workspace.metadata(model).files[entry].path
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    status, _, err = run(capsys, "verify", workspace.folder(model), "--trust-pickle")
    assert status == 1
    assert re.fullmatch(rf"error: {re.escape(str(path))}: sha256 is [0-9a-f]{{12}}…, metadata\.json says .*; run '.*'\n", err), (
        err
    )


def test_verify_counts_bad_files_and_goes_on_to_the_next_version(workspace: Workspace, capsys: Capture) -> None:
    for name in ("onnx", "checkpoint"):
        workspace.file("network", name).write_bytes(b"")
    status, out, err = run(capsys, "verify", workspace.folder("network"), workspace.folder("forest"))
    assert status == 1
    assert out.splitlines()[-1] == "2 versions, 2 bad files"
    assert len(err.splitlines()) == 2
    assert [name for name in ("onnx", "checkpoint") if f"  ok  {name} " in out.split(str(workspace.folder("forest")))[0]] == []


def test_verify_goes_on_behind_a_version_with_nothing_to_verify_it_against(workspace: Workspace, capsys: Capture) -> None:
    (workspace.folder("network") / "metadata.json").write_bytes(b"{")
    status, out, err = run(capsys, "verify", workspace.folder("network"), workspace.folder("forest"))
    assert status == 2
    assert "golden rows replayed" in out.split(str(workspace.folder("forest")))[1]
    assert out.splitlines()[-1] == "2 versions, 1 bad file"
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("removed", ["metadata.json", "."])
def test_verify_misses_a_version_that_git_has(
    removed: str, workspace: Workspace, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments in (["init", "--quiet"], ["add", "models"], ["commit", "--quiet", "--message", "Publish"]):
        who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *who, *arguments], cwd=workspace.root, check=True, capture_output=True)
    monkeypatch.chdir(workspace.root)
    assert "metadata " not in run(capsys, "verify")[1]
    path = workspace.folder("forest") / removed
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    status, out, err = run(capsys, "verify")
    assert (status, err) == (0, "")
    assert "models/forest/v1.0.0/metadata.json is in Git's HEAD and not here" in out
    status, out, err = run(capsys, "verify", "--rev", "HEAD")
    assert status == 1
    assert err == (
        "error: models/forest/v1.0.0/metadata.json: is in revision 'HEAD' and not here; "
        "run 'git checkout HEAD -- models/forest/v1.0.0/metadata.json'\n"
    )
    assert out.splitlines()[-1] == "2 versions, 1 bad file"
    shutil.rmtree("models")
    assert "holds no published version" in refused(capsys, "verify")
    status, _, err = run(capsys, "verify", "--rev", "HEAD")
    assert status == 1
    assert err.count("is in revision 'HEAD' and not here") == 3


def test_verify_of_present_files_only(workspace: Workspace, capsys: Capture) -> None:
    workspace.file("network", "state_dict").unlink()
    assert run(capsys, "verify", workspace.folder("network"))[0] == 1
    assert run(capsys, "verify", "--present-only", workspace.folder("network"))[0] == 0


@pytest.mark.parametrize(("module", "name"), [("yaml", "pyyaml"), ("dvc.repo", "dvc")])
def test_stale_says_what_a_consumer_has_not_installed(
    module: str, name: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.chdir(REPOSITORY)
    assert f"{name}: is not installed; pip install -r requirements.lock" in refused(capsys, "stale")


def test_verify_without_any_version_is_refused(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "holds no published version" in refused(capsys, "verify")


HEADER = ",".join([*NUMERIC, *CATEGORICAL])
OBJECT = {"n0": 1, "n1": 1, "n2": 1, "n3": 1, "c0": "a", "c1": "b"}
BAD_ROWS = {
    "missing.csv": (None, "no such file"),
    "folder.csv": ("folder", "regular file"),
    "rows.txt": (b"", "has the suffix '.txt'"),
    "empty.csv": (b"", "has no column 'n0'"),
    "column.csv": (b"n0,n1,n2,n3,c0\n", "has no column 'c1'"),
    "text.csv": (f"{HEADER}\none,1,1,1,a,b\n".encode(), "line 2: 'n0' is 'one'"),
    "ragged.csv": (f"{HEADER}\n1,1,1,1,a,b,c\n".encode(), "line 2 has 7 cells"),
    "latin.csv": (f"{HEADER}\n1,1,1,1,a,".encode() + b"\xe9\n", "line 2 is not UTF-8"),
    "nul.csv": (f"{HEADER}\n1,1,1,1,a,b\0c\n".encode(), "NUL"),
    "quote.csv": (f'{HEADER}\n1,1,1,1,a,"b\n'.encode(), "line 2"),
    "broken.jsonl": (b'{"n0": 1\n', "line 1 is not JSON"),
    "list.jsonl": (b"[1, 2]\n", "line 1 lacks"),
    "column.jsonl": (json.dumps(OBJECT).encode().replace(b'"c1"', b'"c2"'), "line 1 lacks c1"),
    "text.jsonl": (json.dumps(OBJECT | {"n0": "1"}).encode(), "column 'n0', row 0: holds a str"),
    "number.jsonl": (json.dumps(OBJECT | {"c0": 5}).encode(), "column 'c0', row 0: holds a int"),
    "surrogate.jsonl": (json.dumps(OBJECT | {"c0": "\ud800"}).encode(), "lone surrogate"),
    "nested.jsonl": (b"[" * 100_000, "line 1 is not JSON"),
    "broken.parquet": (b"PAR1 no PAR1", "is not Parquet"),
    "rows.parquet": ("parquet", "has no column 'n0'"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_rows_at_fault_are_one_line(name: str, published: Callable[[str], Workspace], tmp_path: Path, capsys: Capture) -> None:
    content, complaint = BAD_ROWS[name]
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif content == "parquet":
        pd.DataFrame({"n1": [1]}).to_parquet(path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    assert complaint in refused(capsys, "predict", published("mixed").folder("forest"), path)


@pytest.fixture
def rows(published: Callable[[str], Workspace], tmp_path: Path) -> Path:
    return write(tmp_path / "rows.csv", frame(published("mixed")))


@pytest.mark.parametrize("command", ["predict", "inspect", "verify"])
def test_a_folder_that_is_no_version_is_one_line(command: str, tmp_path: Path, rows: Path, capsys: Capture) -> None:
    more = [rows] if command == "predict" else []
    (tmp_path / "empty").mkdir()
    assert "has no metadata.json" in refused(capsys, command, tmp_path / "empty", *more)
    assert "no such f" in refused(capsys, command, tmp_path / "absent", *more)


@pytest.mark.parametrize("levels", [1, 2])
def test_a_folder_of_versions_names_one_of_them(levels: int, published: Callable[[str], Workspace], capsys: Capture) -> None:
    version = published("mixed").folder("forest")
    told = refused(capsys, "inspect", version.parents[levels - 1])
    assert re.search(rf"; name a version folder such as {version.parents[1]}/\w+/v1\.0\.0\n$", told)


def test_rows_that_are_not_there_are_not_to_be_built(
    published: Callable[[str], Workspace], tmp_path: Path, capsys: Capture
) -> None:
    told = refused(capsys, "predict", published("mixed").folder("forest"), tmp_path / "rows.csv")
    assert "no such file; name a file that is there" in told


@pytest.mark.parametrize("command", ["predict", "inspect", "verify"])
@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[]", b"{}", b'{"model_name": 5}', b"[" * 100_000, b'{"a": ' + b"9" * 9999 + b"}"], ids=range(7)
)
def test_a_spoilt_metadata_json_is_one_line(
    command: str, content: bytes, workspace: Workspace, rows: Path, capsys: Capture
) -> None:
    path = workspace.folder("forest") / "metadata.json"
    path.write_bytes(content)
    found = refused(capsys, command, path.parent, *([rows] if command == "predict" else []))
    assert found.startswith(f"error: {path}: ")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--format", "absent"], "has no format 'absent'; give one of joblib, pickle, onnx"),
        (["--format", "safetensors"], "has no format 'safetensors'"),
        (
            ["--format", "joblib"],
            "format 'joblib' unpickles, which is only as safe as its author; pass trust_pickle=True (--trust-pickle)",
        ),
    ],
)
def test_a_format_that_cannot_be_had_is_one_line(
    arguments: list[str], complaint: str, published: Callable[[str], Workspace], rows: Path, capsys: Capture
) -> None:
    assert complaint in refused(capsys, "predict", published("mixed").folder("forest"), rows, *arguments)


@pytest.mark.parametrize("name", FORMATS_OF["torch"])
def test_a_file_that_is_no_model_is_one_line(name: str, workspace: Workspace, rows: Path, capsys: Capture) -> None:
    workspace.replace("network", name, b"not a model\x1b[2J\nat all")
    status, _, found = run(capsys, "predict", workspace.folder("network"), rows, "--format", name, "--trust-pickle")
    assert status == 1
    assert re.fullmatch(r"error: [^\n]+: [^\n]+; [^\n]+\n", found)  # tests/faults has the reasons
    assert "\x1b" not in found


def test_a_pickle_is_not_run_by_any_command(workspace: Workspace, rows: Path, tmp_path: Path, capsys: Capture) -> None:
    class Canary:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.mkdir, (tmp_path / "canary",)

    workspace.replace("forest", "joblib", pickle.dumps(Canary()))
    folder = workspace.folder("forest")
    assert run(capsys, "verify", folder)[0] == 0
    assert run(capsys, "inspect", folder)[0] == 0
    assert run(capsys, "inspect", folder / "pipeline.joblib")[0] == 0
    assert run(capsys, "predict", folder, rows)[0] == 0
    assert run(capsys, "predict", folder, rows, "--format", "joblib")[0] == 2
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", ["absent.onnx", "model.txt", "model.onnx", "model.safetensors"])
def test_a_file_that_cannot_be_inspected_is_one_line(name: str, tmp_path: Path, capsys: Capture) -> None:
    if not name.startswith("absent"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
    assert str(tmp_path / name) in refused_after_its_first_line(capsys, tmp_path / name)


def refused_after_its_first_line(capsys: Capture, path: Path) -> str:
    """As `refused`; `inspect` may have told size and hash before it met what is wrong."""
    status, out, err = run(capsys, "inspect", path)
    assert status in (1, 2)
    assert out.count("\n") <= 1
    assert re.fullmatch(r"error: [^\n]+: [^\n]+; [^\n]+\n", err), err
    return err


@pytest.mark.parametrize("arguments", [[], ["absent"], ["predict"], ["predict", "a"], ["inspect"], ["verify", "--odd"]])
def test_a_wrong_call_exits_with_two_and_one_line(arguments: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert re.fullmatch(r"error: isoform( \w+)?: [^\n]+; run 'isoform( \w+)? --help'\n", capsys.readouterr().err)


def test_help_names_every_command(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("predict", "inspect", "verify", "stale"))


def test_debug_adds_the_traceback(workspace: Workspace, rows: Path, tmp_path: Path) -> None:
    workspace.replace("network", "onnx", b"not a model")
    folder = str(workspace.folder("network"))
    plain = python("-m", "isoform.cli", "predict", folder, str(rows), cwd=tmp_path)
    debug = python("-m", "isoform.cli", "--debug", "predict", folder, str(rows), cwd=tmp_path)
    assert (plain.returncode, debug.returncode) == (1, 1)
    assert plain.stderr.count("\n") == 1
    assert "Traceback" not in plain.stderr
    assert "Traceback" in debug.stderr
    assert debug.stderr.endswith(plain.stderr)


def test_a_process_of_its_own_gives_the_same(published: Callable[[str], Workspace], rows: Path, capsys: Capture) -> None:
    folder = published("mixed").folder("network")
    done = python("-m", "isoform.cli", "predict", str(folder), rows.name, cwd=rows.parent)
    assert (done.returncode, done.stdout, done.stderr) == run(capsys, "predict", folder, rows)


@pytest.mark.parametrize("repeats", [1, 200])
def test_a_reader_that_stops_early_is_no_failure(repeats: int, published: Callable[[str], Workspace], tmp_path: Path) -> None:
    workspace = published("mixed")
    path = write(tmp_path / "rows.parquet", pd.concat([frame(workspace)] * repeats))
    command = [sys.executable, "-m", "isoform.cli", "predict", str(workspace.folder("network")), str(path)]
    done = subprocess.run(
        # A buffered stdout, as users have it, meets the closed pipe only when the process ends.
        ["env", "-u", "PYTHONUNBUFFERED", "bash", "-c", '"$@" | true; exit ${PIPESTATUS[0]}', "bash", *command],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
