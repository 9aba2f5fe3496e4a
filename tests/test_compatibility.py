"""benchmarks.compatibility: its document covers every estimator of the installed scikit-learn, and says what a run gives."""

import functools
import json
from typing import Any

import pytest
from builders import REPOSITORY, python
from sklearn.utils import all_estimators

from benchmarks import compatibility
from benchmarks.compatibility import BLOCKED, PUBLISHED, REFUSED, UNFIT, Result
from benchmarks.compatibility_cases import VARIANTS, Case, cases
from isoform.errors import BadInput, CheckFailed
from pipeline import environment

CASES = {(case.section, case.name): case for case in cases()}
BINARY, TERNARY, REGRESSORS, OTHERS = dict.fromkeys(section for section, _ in CASES)
SAMPLE = [
    (BINARY, "LinearDiscriminantAnalysis", PUBLISHED),
    (BINARY, "RidgeClassifier", UNFIT),
    (TERNARY, "HistGradientBoostingClassifier", PUBLISHED),
    (TERNARY, "DummyClassifier", REFUSED),
    (TERNARY, "KNeighborsClassifier", PUBLISHED),
    (REGRESSORS, "AdaBoostRegressor", PUBLISHED),
    (REGRESSORS, "GaussianProcessRegressor", PUBLISHED),
    (REGRESSORS, "IsotonicRegression", UNFIT),
    (OTHERS, "isotonic calibration", BLOCKED),
    (OTHERS, "searched logistic regression", PUBLISHED),
]


@functools.cache
def committed() -> dict[tuple[str, str], list[str]]:
    """Return the cells of every row of the document, by section and name."""
    rows: dict[tuple[str, str], list[str]] = {}
    section = ""
    for line in compatibility.DOCUMENT.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line[3:]
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and cells[0] != "estimator":
            rows[section, cells[0]] = cells
    return rows


def test_the_document_covers_every_estimator_of_the_installed_version() -> None:
    document = compatibility.DOCUMENT.read_text(encoding="utf-8")
    for library in ("scikit-learn", "skl2onnx", "onnx", "onnxruntime"):
        assert f"{library} {environment.version(library)}" in document, "run: python -m benchmarks.compatibility"
    expected = {(section, name) for section in (BINARY, TERNARY) for name, _ in all_estimators(type_filter="classifier")}
    expected |= {(REGRESSORS, name) for name, _ in all_estimators(type_filter="regressor")}
    assert committed().keys() == expected | {(OTHERS, name) for name, _, _ in VARIANTS}


@functools.cache
def measured() -> dict[tuple[str, str], Result]:
    """Return what a run gives, from processes as fresh as the document's: a pickle also records which texts are one object."""
    names = {name for _, name, _ in SAMPLE}
    done = python("-m", "benchmarks.compatibility", "1", *sorted(names), cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    run = [key for key in CASES if key[1] in names]
    return {key: Result(**json.loads(line)) for key, line in zip(run, done.stdout.splitlines(), strict=True)}


@pytest.mark.parametrize(("section", "name", "outcome"), SAMPLE, ids=[name for _, name, _ in SAMPLE])
def test_the_document_says_what_a_run_gives(section: str, name: str, outcome: str) -> None:
    case = CASES[section, name]
    result = measured()[section, name]
    assert result.outcome == outcome
    found = [cell.strip() for cell in compatibility.row(case, result).strip("|").split(" | ")]
    expected = committed()[section, name]
    if outcome == PUBLISHED:  # another CPU may round the last bits of a difference otherwise
        assert float(found.pop(3)) == pytest.approx(float(expected[3]), abs=1e-6)
        expected = [*expected[:3], *expected[4:]]
    assert found == expected


def test_no_published_estimator_has_other_bytes_each_time() -> None:
    unstable = [cells[0] for cells in committed().values() if "other bytes each time" in cells[-1]]
    assert unstable == []


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (BadInput("params.yaml", "models.sklearn.mine.builder is X, which gives no answer", "choose"), "gives no answer"),
        (BadInput("params.yaml", "models.sklearn.mine: X cannot be fitted (no)", "choose"), "cannot be fitted (no)"),
        (BadInput("model 'mine'", "X has no ONNX converter", "choose"), "X has no ONNX converter"),
        (
            CheckFailed("format 'onnx', test row 3", "answers [0.5, 0.5], joblib answers [0.25, 0.75]; 2 of 9 rows differ", "x"),
            "2 of 9 rows differ, the worst by 0.2 (test row 3)",
        ),
        (ZeroDivisionError("two\nlines"), "ZeroDivisionError: two lines"),
    ],
)
def test_a_reason_is_short(error: Exception, line: str) -> None:
    assert compatibility.explain(error) == line


def result(**changes: Any) -> Result:
    return Result(
        **{"outcome": PUBLISHED, "difference": 1e-7, "size_bytes": {"onnx": 1234, "joblib": 5}, "hashes": {}, **changes}
    )


def test_a_row_shows_how_far_an_estimator_came() -> None:
    case = Case(section="S", name="X", task="regression", classes=0, entry={"preprocessing": "onehot", "hyperparameters": {}})
    assert compatibility.row(case, result()) == "| X | onehot | yes | 1.0e-07 | 1,234 | 5 |  |"
    blocked = result(outcome=BLOCKED, difference=None, reason="a | b")
    assert compatibility.row(case, blocked) == "| X | onehot | yes | blocked | 1,234 | 5 | a \\| b |"
    assert compatibility.row(case, result(outcome=REFUSED, difference=None, size_bytes={"joblib": 5})).startswith(
        "| X | onehot | no | – | – | 5 |"
    )
    document = compatibility.render([(case, result()), (case, blocked)])
    assert "2: 1 published, 1 blocked by parity." in document
    assert document.count("| X |") == 2


def test_a_child_that_ends_without_a_word_or_hangs_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import time

    case = next(iter(CASES.values()))
    monkeypatch.setattr(compatibility, "attempt", lambda case, jobs: os._exit(3))
    assert compatibility.isolated(case, 1).reason == "ended its process"
    monkeypatch.setattr(compatibility, "attempt", lambda case, jobs: time.sleep(60))
    monkeypatch.setattr(compatibility, "LIMIT_S", 0.2)
    assert compatibility.isolated(case, 1).reason == "took more than 0.2 s"
