"""One model serves many threads: each gets the answers that it would get alone."""

import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders import CASES, Workspace, hostile
from joblib import parallel_config

from isoform import load, warning_filters
from isoform.formats import onnx
from isoform.rows import Columns, take

THREADS = 8
CALLS = 12
"""Of each thread."""


@pytest.fixture(autouse=True)
def switch_often() -> Iterator[None]:
    """Let Python change threads within an answer, not only between answers."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


FIRST = """
import sys, traceback, warnings
from pathlib import Path
from isoform import load, warning_filters

unlocked, enter = [], warnings.catch_warnings.__enter__

def entered(self):
    if not warning_filters.ALONE._is_owned():
        unlocked.append("".join(traceback.format_stack(limit=8)))
    return enter(self)

warnings.catch_warnings.__enter__ = entered
from isoform.revisions import in_repository
from isoform.verification import verify

in_repository(Path.cwd())
for folder, name in zip(sys.argv[1::2], sys.argv[2::2]):
    model = load(folder, format=name, trust_pickle=True)
    columns = {**dict.fromkeys(model.config.numeric, [1.0, 2.0]), **dict.fromkeys(model.config.categorical, ["a", "b"])}
    model.predict_proba(columns)
    with warning_filters.ALONE:  # pandas is the program's
        import pandas as pd
        frame = pd.DataFrame(columns).convert_dtypes()
        series = {column: frame[column] for column in columns}
        frame = pd.DataFrame(series)
    model.predict_proba(frame)
    model.predict_proba(series)
    list(verify(Path(folder), trust_pickle=True))
print(*unlocked, len(sys.argv[2::2]), "verified")
"""


def requests(workspace: Workspace, model: str) -> list[Any]:
    """Rows of many sizes, kinds and contents, among them some that must be refused."""
    rows, config = workspace.test_rows()[0], workspace.config(model)
    rng = np.random.default_rng(0)
    found: list[Any] = []
    for i in range(THREADS * CALLS):
        drawn: Columns = take(rows, rng.integers(0, len(rows["n0"]), rng.choice([1, 2, 7, 600])))
        lists = {name: column.tolist() for name, column in drawn.items()}
        records = [dict(zip(lists, cells, strict=True)) for cells in zip(*lists.values(), strict=True)]
        frames = pd.DataFrame(drawn), pd.DataFrame(drawn).convert_dtypes()
        found.append([drawn, lists, records, frames[i // 6 % 2], hostile(config), {**lists, "c0": [i]}][i % 6])
    return found


def ask(model: Any, rows: Any) -> bytes | str:
    """What a model answers, or why it does not."""
    try:
        return bytes(model.predict_proba(rows).tobytes())
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def watched_filters(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """From now on, note where the warning filters, which are the process's, are replaced by a thread that has not locked them."""
    found: list[str] = []
    enter = warnings.catch_warnings.__enter__

    def entered(self: Any) -> Any:
        if not warning_filters.ALONE._is_owned():  # type: ignore[attr-defined]
            found.append("".join(traceback.format_stack(limit=12)))
        return enter(self)

    monkeypatch.setattr(warnings.catch_warnings, "__enter__", entered)
    return found


@pytest.mark.parametrize(("model", "name"), CASES)
def test_many_threads_get_the_answers_of_one(
    model: str, name: str, published: Callable[[str], Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = published("mixed")
    loaded = load(workspace.folder(model), format=name, trust_pickle=True)
    asked = requests(workspace, model)
    expected = [ask(loaded, rows) for rows in asked]
    assert {type(answer) for answer in expected} == {bytes, str}
    assert all("BadInput: column 'c0'" in answer for answer in expected if isinstance(answer, str))
    asked = requests(workspace, model)  # anew: pandas remembers how it found a column
    unlocked = watched_filters(monkeypatch)
    begin, filters = threading.Barrier(THREADS), list(warnings.filters)

    def serve(thread: int) -> list[bytes | str]:
        begin.wait()  # all at once
        return [ask(loaded, rows) for rows in asked[thread::THREADS]]

    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(serve, range(THREADS)))
    for thread, given in enumerate(answers):
        assert given == expected[thread::THREADS], f"thread {thread}"
    assert not unlocked, unlocked[0]
    assert list(warnings.filters) == filters


def test_what_the_program_asks_of_joblib_is_not_asked_of_a_model(
    published: Callable[[str], Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = published("mixed")
    rows, unlocked = workspace.test_rows()[0], watched_filters(monkeypatch)
    for model in ("logistic", "forest"):
        loaded = load(workspace.folder(model), format="pickle", trust_pickle=True)
        expected = ask(loaded, rows)
        with parallel_config(backend="threading", n_jobs=2):
            assert ask(loaded, rows) == expected
    assert not unlocked, unlocked[0]


def test_the_first_load_of_a_process_locks_the_filters(published: Callable[[str], Workspace], tmp_path: Path) -> None:
    workspace = published("mixed")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    cases = [part for model, name in CASES for part in (str(workspace.folder(model)), name)]
    outcome = subprocess.run(
        [sys.executable, "-c", FIRST, *cases], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    assert outcome.stdout == f"{len(CASES)} verified\n"


def test_a_child_that_is_forked_while_another_thread_answers_can_answer(published: Callable[[str], Workspace]) -> None:
    workspace = published("mixed")
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with warning_filters.ALONE:
            held.set()
            done.wait(0.5)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(hold)
        held.wait()
        child = get_context("fork").Process(target=load, args=(workspace.folder("network"),))
        child.start()
        done.set()
        child.join(30)
        child.kill()
    assert child.exitcode == 0


def test_the_first_rows_that_are_packed_may_come_from_many_threads(published: Callable[[str], Workspace]) -> None:
    workspace = published("mixed")
    loaded = load(workspace.folder("network"))
    rows = take(workspace.test_rows()[0], np.arange(onnx.PACKED_CELLS) % 60)
    expected = ask(loaded, rows)
    onnx.reads_to_the_first_zero.cache_clear()
    with ThreadPoolExecutor(THREADS) as pool:
        assert set(pool.map(lambda _: ask(loaded, rows), range(4 * THREADS))) == {expected}


def test_threads_may_load_at_once(published: Callable[[str], Workspace], monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = published("mixed")
    unlocked, filters = watched_filters(monkeypatch), list(warnings.filters)
    rows = workspace.test_rows()[0]

    def serve(case: tuple[str, str]) -> bytes | str:
        return ask(load(workspace.folder(case[0]), format=case[1], trust_pickle=True), rows)

    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(serve, CASES * 2))
    assert answers[: len(CASES)] == answers[len(CASES) :]
    assert all(isinstance(answer, bytes) for answer in answers)
    assert not unlocked, unlocked[0]
    assert list(warnings.filters) == filters
