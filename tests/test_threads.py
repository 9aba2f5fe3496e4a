"""One model serves many threads: each gets the answers that it would get alone."""

import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders import CASES, Workspace, hostile

from isoform import load
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
    """From now on, note who replaces the warning filters, which are the process's, while another thread has replaced them."""
    inside: dict[int, int] = {}
    found: list[str] = []
    enter, leave = warnings.catch_warnings.__enter__, warnings.catch_warnings.__exit__

    def entered(self: Any) -> Any:
        thread = threading.get_ident()
        if any(depth for other, depth in inside.copy().items() if other != thread):
            found.append("".join(traceback.format_stack(limit=12)))
        inside[thread] = inside.get(thread, 0) + 1
        time.sleep(1e-5)  # let the others come
        return enter(self)

    def left(self: Any, *error: Any) -> None:
        leave(self, *error)
        inside[threading.get_ident()] -= 1

    monkeypatch.setattr(warnings.catch_warnings, "__enter__", entered)
    monkeypatch.setattr(warnings.catch_warnings, "__exit__", left)
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
    together = watched_filters(monkeypatch)
    begin, filters = threading.Barrier(THREADS), list(warnings.filters)

    def serve(thread: int) -> list[bytes | str]:
        begin.wait()  # all at once
        return [ask(loaded, rows) for rows in asked[thread::THREADS]]

    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(serve, range(THREADS)))
    for thread, given in enumerate(answers):
        assert given == expected[thread::THREADS], f"thread {thread}"
    assert not together, together[0]
    assert list(warnings.filters) == filters


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
    together, filters = watched_filters(monkeypatch), list(warnings.filters)
    rows = workspace.test_rows()[0]

    def serve(case: tuple[str, str]) -> bytes | str:
        return ask(load(workspace.folder(case[0]), format=case[1], trust_pickle=True), rows)

    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(serve, CASES * 2))
    assert answers[: len(CASES)] == answers[len(CASES) :]
    assert all(isinstance(answer, bytes) for answer in answers)
    assert not together, together[0]
    assert list(warnings.filters) == filters
