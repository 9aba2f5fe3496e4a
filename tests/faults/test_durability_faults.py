"""Faults 67 to 72: whatever befalls a run while it writes, a reader sees the old version, the new one, or a refusal."""

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from builders import Workspace
from cases import Record, expect
from harness import Outcome, problems, snapshot
from rebuilt import EXPORT, PREPARE, STAGES, TRAIN, VALIDATE, Rebuilt, Stage, rebuild
from strikes import Point, Stages, copy, seen

from isoform import cli
from isoform.integrity import sha256

STAGE = pytest.mark.parametrize("stage", STAGES, ids="-".join)
SMALL_BYTES = 500
"""What the run itself prints must still fit into a file."""


@pytest.fixture(scope="module")
def site(published: Callable[[str], Workspace], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rebuilt]:
    stages = Stages()
    yield rebuild(published("mixed"), tmp_path_factory.mktemp("durability"), stages)
    stages.close()


def told(text: str) -> Outcome:
    """Return what the table shows of many runs."""
    return Outcome(1, "", f"error: a run: {text}; -\n", [], [], timed_out=False, peak_bytes=0, seconds=0.0)


def saw(readers: Counter[str]) -> Outcome:
    return told("readers saw " + ", ".join(f"{readers[what]} {what}" for what in ("old", "new", "refused") if readers[what]))


def point_at(site: Rebuilt, stage: Stage, call: str, target: str) -> Point:
    """Return the last point of a stage that is such a call about `target`."""
    return [point for point in site.points[stage] if point.call.startswith(call) and point.target == target][-1]


def fails_cleanly(site: Rebuilt, stage: Stage, point: Point, workspace: Workspace, *without: str) -> Outcome:
    """Have one call fail as on a full disk: the run must end with one line that names the file, and leave nothing."""
    inject = point.inject("error=ENOSPC", workspace.root)
    outcome = site.stages.strike(workspace.root, stage, inject=inject, without=without)
    assert sum("INJECTED" in line for line in site.stages.log(workspace.root)) == 1, point
    expect(f"ENOSPC at {point}", problems(outcome, r"No space left on device", point.target))
    assert outcome.status == 2
    assert not list(workspace.root.rglob("*.tmp")), f"left after ENOSPC at {point}"
    return outcome


def goes_on(site: Rebuilt, stage: Stage, workspace: Workspace, *without: str) -> None:
    """Run a stage again after a blow: all is as if nothing had happened, and nothing is left over."""
    again = site.stages.strike(workspace.root, stage, without=without)
    assert again.status == 0, again.stderr
    assert snapshot(workspace.root) == site.after[stage]


@STAGE
def test_67_no_space_at_any_write(stage: Stage, site: Rebuilt, record: Record, tmp_path: Path) -> None:
    for point in site.points[stage]:
        workspace = copy(site.before[stage], tmp_path / "site")
        outcome = fails_cleanly(site, stage, point, workspace)
        site.check(workspace, stage)
    record(67, f"no space left, at each of {len(site.points[stage])} calls", " ".join(stage), "-", outcome)


@STAGE
@pytest.mark.parametrize("kill", [False, True], ids=["full", "killed"])
def test_67_68_in_the_middle_of_a_file(kill: bool, stage: Stage, site: Rebuilt, record: Record, tmp_path: Path) -> None:
    old, root = snapshot(site.before[stage].root), site.new.root
    sizes = {(root / name).stat().st_size // 2 for name, state in site.after[stage].items() if old.get(name) != state}
    for size in sorted(size for size in sizes if size > SMALL_BYTES):
        workspace = copy(site.before[stage], tmp_path / "site")
        outcome = site.stages.strike(workspace.root, stage, file_bytes=size, kill=kill)
        if kill:
            assert outcome.status == -signal.SIGXFSZ
        else:
            expect(f"full after {size} bytes", problems(outcome, r"cannot be written \(File too large\)"))
            assert not list(workspace.root.rglob("*.tmp"))
        readers = site.check(workspace, stage)
        goes_on(site, stage, workspace)
        record(
            67 + kill,
            f"{'killed' if kill else 'full'} after {size} bytes",
            " ".join(stage),
            "-",
            saw(readers) if kill else outcome,
        )


@pytest.mark.parametrize("guard", ["refuse_failed_write", "_discard"])
def test_67_is_not_held_without_its_guard(guard: str, site: Rebuilt, tmp_path: Path) -> None:
    point = point_at(site, TRAIN, "write", "models/logistic/v1.0.0/pipeline.joblib")
    with pytest.raises(AssertionError, match=r"it gave the reason|it named|left after ENOSPC"):
        fails_cleanly(site, TRAIN, point, copy(site.before[TRAIN], tmp_path / "site"), f"isoform.integrity:{guard}")


@STAGE
def test_68_kill_9_at_any_write(stage: Stage, site: Rebuilt, record: Record, tmp_path: Path) -> None:
    readers: Counter[str] = Counter()
    for point in site.points[stage]:
        workspace = copy(site.before[stage], tmp_path / "site")
        outcome = site.stages.strike(workspace.root, stage, inject=point.inject("signal=KILL", workspace.root))
        assert outcome.status == -signal.SIGKILL, f"{point}: {outcome.stderr}"
        readers += site.check(workspace, stage)
        goes_on(site, stage, workspace)
    record(68, f"kill -9, at each of {len(site.points[stage])} calls", " ".join(stage), "-", saw(readers))


def test_68_is_not_held_without_its_guard(site: Rebuilt, tmp_path: Path) -> None:
    workspace = copy(site.before[TRAIN], tmp_path / "site")
    point = point_at(site, TRAIN, "rename", "models/logistic/v1.0.0/pipeline.joblib")
    site.stages.strike(workspace.root, TRAIN, inject=point.inject("signal=KILL", workspace.root))
    with pytest.raises(AssertionError, match=r"\.pipeline\.joblib\.00000000\.tmp"):
        goes_on(site, TRAIN, workspace, "isoform.integrity:_remove_abandoned")


def survives_a_power_cut(points: list[Point], published: list[str]) -> None:
    """Fail unless each file was on the disk before it got its name, and then its name; metadata.json after all others."""
    for at, point in enumerate(points):
        if not point.call.startswith("rename") or not point.path.endswith(".tmp"):
            continue
        calls = [(other.call, other.path) for other in points[:at]]
        assert ("fsync", point.path) in calls[calls.index(("write", point.path)) :], f"{point} before fsync"
        after = points[at + 1]
        assert (after.call, after.path) == ("fsync", str(Path(point.path).parent)), f"{point} is not followed by fsync"
        if point.target.endswith("/metadata.json"):
            synced = {other.target for other in points[:at] if other.call == "fsync"}
            assert {f"{Path(point.target).parent}/{name}" for name in published} <= synced, "metadata.json before what it names"


@STAGE
def test_68_what_a_power_cut_leaves_is_ordered(stage: Stage, site: Rebuilt, record: Record) -> None:
    metadata = site.new.metadata(stage[-1]) if stage[0] == "validate" else None
    survives_a_power_cut(site.points[stage], [entry.path for entry in metadata.files.values()] if metadata else [])
    syncs = sum(point.call == "fsync" for point in site.points[stage])
    record(68, "power cut", " ".join(stage), "-", told(f"{syncs} fsync, each file before its name, metadata.json last"))


@pytest.mark.parametrize(("guard", "reason"), [("_to_disk", "before fsync"), ("sync", "is not followed by fsync")])
def test_68_a_power_cut_is_not_survived_without_its_guard(guard: str, reason: str, site: Rebuilt, tmp_path: Path) -> None:
    root = copy(site.before[TRAIN], tmp_path / "site").root
    with pytest.raises(AssertionError, match=reason):
        survives_a_power_cut(site.stages.points(root, TRAIN, f"isoform.integrity:{guard}"), [])


def test_68_metadata_is_not_last_on_the_disk_without_its_guard(site: Rebuilt, tmp_path: Path) -> None:
    root = copy(site.before[VALIDATE], tmp_path / "site").root
    with pytest.raises(AssertionError, match=r"metadata\.json before what it names"):
        survives_a_power_cut(site.stages.points(root, VALIDATE, "stages.validate:sync_all"), ["model.onnx"])


READ_ONLY = [
    (PREPARE, "data/prepared", "data/prepared/train.parquet"),
    (TRAIN, "models/logistic/v1.0.0", "models/logistic/v1.0.0/pipeline.joblib"),
    (EXPORT, "models/logistic/v1.0.0", "models/logistic/v1.0.0/model.onnx"),
    (VALIDATE, "models/logistic/v1.0.0", "models/logistic/v1.0.0/metadata.json"),
    (VALIDATE, "reports/logistic", "reports/logistic/roc.csv"),
    (("train_torch", "network"), ".scratch/network", ".scratch/network/step-000000008.checkpoint"),
    (TRAIN, ".", ".scratch/models-logistic.lock"),
]


def is_read_only(site: Rebuilt, stage: Stage, folder: str, path: str, workspace: Workspace, *without: str) -> Outcome:
    """Run a stage that may not write into a folder: it must say so of the file."""
    for place in (workspace.root / folder, *(workspace.root / folder).rglob("*")):
        if place.is_dir():
            place.chmod(0o555)
    outcome = site.stages.strike(workspace.root, stage, powerless=True, without=without)
    for place in (workspace.root / folder, *(workspace.root / folder).rglob("*")):
        if place.is_dir():
            place.chmod(0o755)
    removed = path.endswith(("metadata.json", ".lock"))
    expect(folder, problems(outcome, "Permission denied" if removed else r"cannot be written \(Permission denied\)", path))
    assert outcome.status == 2
    return outcome


@pytest.mark.parametrize(("stage", "folder", "path"), READ_ONLY)
def test_69_a_read_only_folder(stage: Stage, folder: str, path: str, site: Rebuilt, record: Record, tmp_path: Path) -> None:
    workspace = copy(site.before[stage], tmp_path / "site")
    outcome = is_read_only(site, stage, folder, path, workspace)
    site.check(workspace, stage)
    goes_on(site, stage, workspace)
    record(69, f"{folder} is read-only", " ".join(stage), "-", outcome)


def test_69_is_not_held_without_its_guard(site: Rebuilt, tmp_path: Path) -> None:
    workspace = copy(site.before[TRAIN], tmp_path / "site")
    with pytest.raises(AssertionError, match="it gave the reason"):
        is_read_only(site, *READ_ONLY[1], workspace, "isoform.integrity:refuse_failed_write")


# strace stops a process as it comes back from the call.
HALVES = [
    (PREPARE, "data/prepared/train.parquet", "data/prepared"),
    (TRAIN, "models/logistic/v1.0.0/pipeline.joblib", "models/logistic"),
    (VALIDATE, "models/logistic/v1.0.0/config.json", "models/logistic"),
]


def two_runs(site: Rebuilt, stage: Stage, half: str, workspace: Workspace, *without: str) -> tuple[Outcome, Outcome]:
    """Start a stage, stop it half-way, start it once more with the old parameters, let the first go on; return both outcomes."""
    params = workspace.root / "params.yaml"
    ours, theirs = params.read_bytes(), (site.old.root / "params.yaml").read_bytes()
    first = site.stages.stop(workspace.root, stage, point_at(site, stage, "rename", half))
    params.write_bytes(theirs)
    second = site.stages.strike(workspace.root, stage, without=without)
    params.write_bytes(ours)
    return site.stages.resume(workspace.root, first), second


@pytest.mark.parametrize(("stage", "half", "place"), HALVES, ids=["prepare", "train", "validate"])
def test_70_two_runs_at_once(stage: Stage, half: str, place: str, site: Rebuilt, record: Record, tmp_path: Path) -> None:
    workspace = copy(site.before[stage], tmp_path / "site")
    first, second = two_runs(site, stage, half, workspace)
    expect("the second", problems(second, "is being written by another run", place))
    assert (first.status, second.status) == (0, 2)
    assert snapshot(workspace.root) == site.after[stage]
    record(70, "two runs by hand at once", " ".join(stage), "-", second)


def test_70_is_not_held_without_its_guard(site: Rebuilt, tmp_path: Path) -> None:
    workspace = copy(site.before[TRAIN], tmp_path / "site")
    first, second = two_runs(site, *HALVES[1][:2], workspace, "stages:refuse_second_run")
    assert (first.status, second.status) == (0, 0)
    files = {name: (workspace.root / f"models/logistic/v1.0.0/pipeline.{name}").read_bytes() for name in ("joblib", "pkl")}
    states = {name: sha256(data) == site.after[TRAIN][f"models/logistic/v1.0.0/pipeline.{name}"] for name, data in files.items()}
    assert states == {"joblib": False, "pkl": True}, "two runs did not mix"


def test_71_a_reader_while_a_version_is_published_again_and_again(site: Rebuilt, record: Record, tmp_path: Path) -> None:
    workspace = copy(site.old, tmp_path / "site")
    builds = {which: (built.root / "params.yaml").read_bytes() for which, built in (("new", site.new), ("old", site.old))}
    for stage in (TRAIN, EXPORT, VALIDATE):
        site.stages.warm(copy(site.old, tmp_path / "old").root, stage)

    def publish() -> None:
        for which in ["new", "old"] * 5:
            copy(Workspace((site.new if which == "new" else site.old).root / "data"), workspace.root / "data")
            (workspace.root / "params.yaml").write_bytes(builds[which])
            for stage in (TRAIN, EXPORT, VALIDATE):
                assert site.stages.strike(workspace.root, stage).status == 0

    publisher = threading.Thread(target=publish)
    publisher.start()
    readers: Counter[str] = Counter()
    folder = workspace.folder("logistic")
    while publisher.is_alive():
        for name in ("onnx", "onnx", "joblib"):
            readers[seen(folder, name, site.rows, site.versions["logistic"]).partition(":")[0]] += 1
    publisher.join()
    assert readers.keys() == {"old", "new", "refused"}, readers
    assert seen(folder, "onnx", site.rows, site.versions["logistic"]) == "old"
    record(71, f"{readers.total()} loads during 10 publishings", "onnx, joblib", "-", saw(readers))


def test_71_a_mixture_is_seen_without_its_guard(site: Rebuilt, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, versions = site.before[VALIDATE].folder("logistic"), site.versions["logistic"]
    assert seen(folder, "onnx", site.rows, versions).startswith("refused: sha256 is ")
    monkeypatch.setattr("isoform.integrity.refuse_other_content", lambda *arguments: None)
    assert seen(folder, "onnx", site.rows, versions) == "a mixture"


def killed_before_metadata(site: Rebuilt, workspace: Workspace, *without: str) -> None:
    point = point_at(site, VALIDATE, "rename", "models/logistic/v1.0.0/metadata.json")
    inject = point.inject("signal=KILL", workspace.root)
    assert site.stages.strike(workspace.root, VALIDATE, inject=inject, without=without).status == -signal.SIGKILL


def ask(folder: Path, capsys: pytest.CaptureFixture[str]) -> Outcome:
    """Return what `isoform verify` says of a version."""
    capsys.readouterr()
    status = cli.main(["verify", str(folder)])
    stdout, stderr = capsys.readouterr()
    return Outcome(status, stdout, stderr, [], [], timed_out=False, peak_bytes=0, seconds=0.0)


UNPUBLISHED = "has no metadata.json, so it is no published version"


@pytest.mark.parametrize("first", [True, False], ids=["the first time", "again"])
def test_72_a_crash_between_models_and_metadata(
    first: bool, site: Rebuilt, record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = copy(site.before[VALIDATE], tmp_path / "site")
    if first:
        for name in ("metadata", "golden", "config"):
            (workspace.folder("logistic") / f"{name}.json").unlink()
    killed_before_metadata(site, workspace)
    outcome = ask(workspace.folder("logistic"), capsys)
    expect("after the crash", problems(outcome, UNPUBLISHED, "models/logistic/v1.0.0"))
    assert set(site.readers(workspace, VALIDATE)) == {f"refused: {UNPUBLISHED}"}
    goes_on(site, VALIDATE, workspace)
    assert set(site.readers(workspace, VALIDATE)) == {"new"}
    record(72, f"metadata.json missing, {'the first time' if first else 'again'}", "every format", "-", outcome)


def test_72_is_not_held_without_its_guards(
    site: Rebuilt, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = copy(site.before[VALIDATE], tmp_path / "site")
    killed_before_metadata(site, workspace, "stages.validate:unpublish")
    assert list(problems(ask(workspace.folder("logistic"), capsys), UNPUBLISHED))
    killed_before_metadata(site, workspace)
    monkeypatch.setattr("isoform.metadata.refuse_unpublished", lambda *arguments: None)
    assert list(problems(ask(workspace.folder("logistic"), capsys), UNPUBLISHED))
