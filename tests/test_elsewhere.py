"""proofs.elsewhere: what it finds, how it says so, and what it asks to have installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from builders import REPOSITORY

from isoform.errors import CheckFailed
from proofs import elsewhere
from proofs.comparison import Outcome, detail, differing, hashes, legend, made, table
from proofs.variations import PACKAGES, QUICK, VARIATIONS, Variation, anew, command, programs, reordered, wrapper

EXPECTED = {"dvc.lock": "1", "models/a/model.pt": "2", "models/a/metadata.json": "3"}
STAGES = {
    "fetch": {"cmd": "f", "deps": [{"path": "code.py"}], "outs": [{"path": "raw"}]},
    "train@a": {"cmd": "a", "deps": [{"path": "raw"}], "outs": [{"path": "a.pt"}]},
    "train@b": {"cmd": "b", "deps": [{"path": "raw"}], "outs": [{"path": "b.pt"}]},
    "validate@a": {"cmd": "v", "deps": [{"path": "raw"}, {"path": "a.pt"}]},
}


def test_equal_runs_have_no_difference() -> None:
    assert differing(EXPECTED, Outcome("same", hashes=EXPECTED)) == []


def test_a_changed_a_missing_and_a_stray_file_are_differences() -> None:
    found = {"dvc.lock": "1", "models/a/model.pt": "9", "stray": "4"}
    assert differing(EXPECTED, Outcome("other", hashes=found)) == ["models/a/metadata.json", "models/a/model.pt", "stray"]


def test_what_a_run_was_not_to_make_is_not_compared() -> None:
    assert (
        differing(EXPECTED, Outcome("part", hashes={"models/a/model.pt": "2"}, apart=frozenset(EXPECTED) - {"models/a/model.pt"}))
        == []
    )


def test_left_out_are_dvcs_own_files_and_the_outputs_of_stages_that_did_not_run(tmp_path: Path) -> None:
    reference = Outcome("reference", hashes={"dvc.lock": "1", "raw/a.csv": "2", "raw/.gitignore": "3", "a.pt": "4", "b.pt": "5"})
    assert elsewhere.left_out(reference, STAGES, tmp_path) == {"dvc.lock", "raw/.gitignore"}
    (tmp_path / "dvc.lock").write_text("stages: {train@a: {cmd: a}}")
    assert elsewhere.left_out(reference, STAGES, tmp_path) == {"dvc.lock", "raw/.gitignore", "raw/a.csv", "b.pt"}


def test_a_planted_difference_is_found_and_told(tmp_path: Path) -> None:
    for run, value in (("reference", "0.25"), ("other", "0.5")):
        (tmp_path / run / "__pycache__").mkdir(parents=True)
        (tmp_path / run / "__pycache__" / "code.pyc").write_text(value)
        (tmp_path / run / "params.yaml").write_text("seed: 1\n")
        (tmp_path / run / "metadata.json").write_text(f'{{\n  "max_difference": {value}\n}}\n')
    given = hashes(tmp_path / "reference")
    del given["metadata.json"]
    expected, found = (made(hashes(tmp_path / run), given) for run in ("reference", "other"))
    assert list(expected) == ["metadata.json"]
    assert differing(expected, Outcome("other", hashes=found)) == ["metadata.json"]
    told = detail(tmp_path / "reference/metadata.json", tmp_path / "other/metadata.json")
    assert told == 'line 2: "max_difference": 0.25 | "max_difference": 0.5'


@pytest.mark.parametrize(
    ("expected", "found", "told"),
    [
        (b"\xff\x00", b"\xff", "2 and 1 bytes"),
        (b"a\nb\n", b"a\n", "2 and 1 lines"),
        (b"a", None, "only the reference has it"),
        (None, b"a", "only this run has it"),
    ],
)
def test_every_difference_is_told(tmp_path: Path, expected: bytes | None, found: bytes | None, told: str) -> None:
    for name, content in (("expected", expected), ("found", found)):
        if content is not None:
            (tmp_path / name).write_bytes(content)
    assert detail(tmp_path / "expected", tmp_path / "found") == told


def test_the_table_has_a_row_a_file_and_a_column_a_run() -> None:
    outcomes = [
        Outcome("same", 3.2, EXPECTED),
        Outcome("other", 4.0, {**EXPECTED, "models/a/model.pt": "9"}, details={"models/a/model.pt": "2 and 3 bytes"}),
        Outcome("failed", 1.0, failure="'dvc repro' exited with 1:\nERROR: it broke"),
        Outcome("bare", 2.0, EXPECTED, apart=frozenset({"dvc.lock"})),
    ]
    assert table(EXPECTED, outcomes).splitlines() == [
        "                        1  2  3  4",
        "dvc.lock                =  =  !  .",
        "models/a/metadata.json  =  =  !  =",
        "models/a/model.pt       =  X  !  =",
    ]
    assert legend(outcomes).splitlines() == [
        "  1  same, 3 s",
        "  2  other, 4 s",
        "       models/a/model.pt: 2 and 3 bytes",
        "  3  failed, 1 s",
        "       'dvc repro' exited with 1:",
        "       ERROR: it broke",
        "  4  bare, 2 s",
    ]


def test_the_report_fails_on_a_difference_and_on_a_failed_run(capsys: pytest.CaptureFixture[str]) -> None:
    reference = Outcome("reference", hashes=EXPECTED)
    elsewhere.report(reference, [Outcome("same", hashes=EXPECTED)])
    assert capsys.readouterr().out.endswith("the same bytes: 3 files, 1 variations\n")
    bad = [Outcome("other", details={"a": "1 and 2 lines"}), Outcome("failed", failure="it broke")]
    with pytest.raises(CheckFailed, match="1 files differ, and 1 of 2 variations failed"):
        elsewhere.report(reference, bad)


def test_another_order_still_runs_each_stage_after_what_it_reads() -> None:
    assert reordered(STAGES) == ["fetch", "train@b", "train@a", "validate@a"]


def test_what_is_made_anew_is_taken_away_first() -> None:
    train = [command(STAGES, "train@b"), command(STAGES, "train@a")]
    outs = [out["path"] for name in ("train@b", "train@a") for out in STAGES[name]["outs"]]
    assert anew("train", "absent")(STAGES) == [("rm", "-rf", "--", *outs), *(("sh", "-c", one) for one in train)]


def test_a_wrapper_starts_python_as_the_variation_says(tmp_path: Path) -> None:
    script = tmp_path / "python"
    script.write_text(wrapper(("env", "A=it's"), sys.executable))
    script.chmod(0o755)
    code = "import os, sys; print(os.environ['A'], sys.argv[1])"
    assert subprocess.run([script, "-c", code, "b c"], capture_output=True, text=True, check=True).stdout == "it's b c\n"


def test_every_program_of_a_variation_has_a_package() -> None:
    assert set(programs((*VARIATIONS, *QUICK))) <= PACKAGES.keys()
    words = {variation.prefix[0] for variation in (*VARIATIONS, *QUICK) if variation.prefix}
    assert words <= {*PACKAGES, "env"}


def test_variations_have_names_of_their_own() -> None:
    names = [variation.name for variation in (*VARIATIONS, *QUICK)]
    assert len(names) == len(set(names))


def test_missing_programs_are_named_with_their_packages(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "proofs.elsewhere"], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "error: faketime, qemu-x86_64, taskset" in done.stderr
    assert "apt-get install faketime qemu-user util-linux" in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error:")]) == 1


def test_an_emulator_that_computes_wrongly_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "qemu-x86_64"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(elsewhere.BadInput, match=r"qemu-x86_64 -cpu X: computes AVX2 wrongly; install QEMU 10"):
        elsewhere.available([Variation("emulated", ("qemu-x86_64", "-cpu", "X"))])


def test_a_variation_runs_the_other_way_where_the_machine_refuses_the_first() -> None:
    other = Variation("other", ("false",), otherwise=("env",))
    assert elsewhere.available([other]) == [Variation("other", ("env",), otherwise=("env",))]


def test_a_variation_that_the_machine_refuses_both_ways_is_an_error() -> None:
    with pytest.raises(elsewhere.BadInput, match=r"variation 'refused': this machine refuses 'false'"):
        elsewhere.available([Variation("refused", ("false",), otherwise=("false",))])
