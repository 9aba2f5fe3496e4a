"""proofs.crashes: the trials are drawn as said, and what a blow can leave is found. `make crash-test` runs them."""

import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from proofs import crash_states, crash_trials, crash_watch, crashes
from proofs.crash_states import Reference
from proofs.crash_trials import Outcome, Trial
from proofs.workspace import ROOT, commit, git

STAGES = crashes.phases(ROOT / "dvc.yaml")
FLIGHTS = "fetch@flights"


def trial(**changes: object) -> Trial:
    return Trial(
        **{
            "number": 1,
            "phase": "fetch",
            "stage": FLIGHTS,
            "start": "stale",
            "blow": "SIGKILL stage",
            "moment": "event",
            "kind": "",
            "share": 0.5,
            "bytes": 20,
            "times": 1,
            "shell": "/bin/sh",
            **changes,
        }
    )


def reference(folder: Path = Path()) -> Reference:
    command = "-m stages.fetch flights x"
    own, of_dvc = ["open a", "chmod", "rename a", "open b"], ["open dvc.lock", "open .dvc/tmp/rwlock"]
    return Reference(folder, {}, {FLIGHTS: command}, {FLIGHTS: ("Running", 1.0)}, {FLIGHTS: own}, {FLIGHTS: of_dvc}, 1.0, {})


def test_the_same_seed_draws_the_same_trials_and_another_seed_others() -> None:
    assert crashes.plan(STAGES, 40, 7) == crashes.plan(STAGES, 40, 7)
    assert crashes.plan(STAGES, 40, 7) != crashes.plan(STAGES, 40, 8)


def test_a_trial_is_the_same_however_many_follow() -> None:
    assert crashes.plan(STAGES, 50, 7)[:11] == crashes.plan(STAGES, 11, 7)


@pytest.mark.parametrize("seed", range(5))
def test_every_phase_is_struck_in_each_round_and_a_training_most(seed: int) -> None:
    drawn = Counter(trial.phase for trial in crashes.plan(STAGES, 50, seed))
    assert drawn.keys() == STAGES.keys()
    assert drawn.most_common(1)[0][0] == "train_torch"
    assert {trial.phase for trial in crashes.plan(STAGES, len(STAGES), seed)} == STAGES.keys()


@pytest.mark.parametrize("seed", range(5))
def test_every_blow_falls_and_some_trials_start_from_nothing(seed: int) -> None:
    trials = crashes.plan(STAGES, 50, seed)
    assert {trial.blow for trial in trials} == crashes.BLOWS.keys()
    assert sum(trial.start == "empty" for trial in trials) == 4
    assert {trial.moment for trial in trials} == {"time", "event", "write"}


def test_the_phases_are_the_stages_of_dvc_yaml_with_their_instances() -> None:
    assert STAGES["fetch"] == ["fetch@flights", "fetch@synthetic"]
    assert STAGES["prepare"] == ["prepare"]
    assert set(STAGES["dvc"]) == {stage for name, stages in STAGES.items() if name != "dvc" for stage in stages}


def test_an_event_is_drawn_from_those_that_the_undisturbed_run_had() -> None:
    plan = crash_trials.from_inside(trial(), reference())
    assert plan is not None
    assert (plan["victim"], plan["pattern"], plan["at"], plan["whom"]) == ("-m stages.fetch flights x", "", 3, "self")


def test_half_way_through_a_file_is_drawn_from_the_files_opened() -> None:
    plan = crash_trials.from_inside(trial(moment="write", share=0.9), reference())
    assert plan is not None
    assert (plan["at"], plan["bytes"]) == (2, 20)


def test_dvc_is_struck_after_the_stage_and_where_it_has_no_such_file_at_its_lock() -> None:
    plan = crash_trials.from_inside(trial(phase="dvc", blow="Ctrl-C", kind="cache"), reference())
    assert plan is not None
    assert (plan["victim"], plan["after"], plan["whom"]) == ("dvc repro", "-m stages.fetch flights x", "group")
    assert plan["pattern"] == crash_trials.OF_DVC["dvc.lock"]


def test_the_moments_after_a_stage_started_are_its_own_or_dvcs() -> None:
    record = ["dvc repro\topen early", "dvc repro\tstart sh -c python -m stages.a", "python -m stages.a\topen out"]
    record += ["dvc repro\topen dvc.lock", "dvc repro\tstart sh -c python -m stages.b"]
    own, of_dvc = crash_states.split_moments(record, {"a": "-m stages.a", "b": "-m stages.b"})
    assert own == {"a": ["open out"], "b": []}
    assert of_dvc == {"a": ["open dvc.lock"], "b": []}


def workspace(folder: Path) -> Path:
    for name in ("models", "data", "reports", ".scratch/network"):
        (folder / name).mkdir(parents=True)
    (folder / "dvc.lock").write_text("stages: {}\n")
    (folder / "models/model.onnx").write_bytes(b"weights")
    (folder / ".gitignore").write_text("*.onnx\n.scratch\n")
    git(folder, "init", "--quiet")
    commit(folder, "Outputs")
    return folder


def test_what_a_blow_can_leave_is_found(tmp_path: Path) -> None:
    folder = workspace(tmp_path)
    before = crash_states.snapshot(folder)
    assert crash_states.differences(before, crash_states.snapshot(folder)) == []
    (folder / "models/model.onnx").write_bytes(b"Weights")
    (folder / "dvc.lock").unlink()
    for name in ("models/.model.onnx.x.tmp", "data/stray", ".scratch/network/.step-1.x.tmp"):
        (folder / name).touch()
    assert crash_states.differences(before, crash_states.snapshot(folder)) == [
        ".scratch/network/.step-1.x.tmp is left over",
        "data/stray is left over",
        "dvc.lock is missing",
        "git status: data/stray is left over",
        "git status: dvc.lock is left over",
        "git status: models/.model.onnx.x.tmp is left over",
        "models/.model.onnx.x.tmp is left over",
        "models/model.onnx differs",
    ]


def test_the_newest_checkpoint_of_a_training_that_has_not_ended_is_found(tmp_path: Path) -> None:
    folder = workspace(tmp_path)
    assert crash_states.newest_step(folder) == 0
    for name in ("step-000000037", "step-000000111", "ended-000000999"):
        (folder / f".scratch/network/{name}.checkpoint").touch()
    assert crash_states.newest_step(folder) == 111


def test_a_stage_that_goes_on_is_found_and_ended(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], cwd=tmp_path) as process:
        assert process.pid in crash_watch.processes(tmp_path)
        reaper = threading.Thread(target=process.wait)
        reaper.start()
        assert list(crash_watch.orphans(tmp_path, 0.1)) == [process.pid]
        reaper.join()
    assert crash_watch.processes(tmp_path) == {}
    assert os.getpid() not in crash_watch.processes(tmp_path)


def test_a_log_says_where_it_hit() -> None:
    text = "Running stage 'prepare':\nRunning stage 'train_torch@x':\nepoch 1 of 8: loss 0.1\nblow: rename a\n"
    assert crash_trials.place(text) == "train_torch@x, epoch 1 of 8, rename a"
    assert crash_trials.place("") == "before any stage"


def test_the_table_counts_blows_resumes_and_reads() -> None:
    hit = Outcome(trial(), hit="fetch", due=37, resumed=37, reads=Counter(whole=5, refused=2, odd=1))
    text = crashes.table([hit, Outcome(trial(number=2))])
    assert "1 blows hit, 1 came too late to hit; 1 trainings had a checkpoint to go on from, 1 resumed" in text
    assert "8 reads: 5 whole, 2 refused, 1 wrong" in text
