"""The examples, each started and called as a user would: they give the reference's answers, and say so when they do not."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from builders import REPOSITORY, TABLES, Workspace

from isoform import load
from isoform.errors import BadInput
from proofs import chromium, replays
from proofs.replays import BROWSERS, EXAMPLES, npm_install, program

if TYPE_CHECKING:
    from playwright.sync_api import Page

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
REPLAYED = "6 golden rows replayed, largest difference"
VERSIONS = [f"{table}/network" for table in TABLES]
VERSIONS += ["mixed/forest", "text_classes/forest", "categorical/logistic"]


@pytest.fixture(scope="module")
def version(published: Callable[[str], Workspace]) -> Callable[[str], Path]:
    """Give the folder of a version by table and model, for reading only."""
    return lambda name: published(name.split("/")[0]).folder(name.split("/")[1])


def golden_rows(folder: Path) -> list[dict[str, Any]]:
    golden = json.loads((folder / "golden.json").read_text())
    return [dict(zip(golden["columns"], row, strict=True)) for row in golden["rows"]]


def spoil(golden: dict[str, Any]) -> None:
    """Alter one expected answer."""
    golden["probabilities"][4][0] += 3e-5


def run(*command: str | Path, status: int = 0, cwd: Path | None = None) -> str:
    """Run a command, expect its exit status, and return what it printed on both streams."""
    words = list(map(str, command))
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


# Plain onnxruntime


def plain(folder: Path, status: int = 0) -> str:
    return run(sys.executable, "-W", "error", EXAMPLES / "plain/replay.py", folder, status=status)


@pytest.mark.parametrize("name", VERSIONS)
def test_plain_onnxruntime_gives_the_reference_s_answers(name: str, version: Callable[[str], Path]) -> None:
    assert REPLAYED in plain(version(name))


def test_plain_onnxruntime_names_the_row_that_differs(workspace: Workspace) -> None:
    assert "rows [4] differ" in plain(workspace.alter_golden("network", spoil), status=1)


def test_what_the_readme_shows_of_it_is_the_code_that_runs_here() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    shown = [block for block in blocks if "onnxruntime.InferenceSession" in block]
    assert len(shown) == 1
    assert shown[0] in (EXAMPLES / "plain/replay.py").read_text()


# The service


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Start the service on a free port and give its address."""
    command = [sys.executable, str(EXAMPLES / "service/app.py"), "--port", "0"]
    environment = {**os.environ, "ISOFORM_MODEL": str(folder), "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            lines = []
            for line in process.stderr:
                lines.append(line)
                if "running on http" in line:
                    yield line.split("running on ")[1].split()[0]
                    return
            raise AssertionError("".join(lines))
        finally:
            process.terminate()


def call(url: str, body: Any = None) -> tuple[int, Any]:
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    try:
        with DIRECT.open(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.fixture(scope="module")
def service(version: Callable[[str], Path]) -> Iterator[str]:
    with serving(version("mixed/network")) as url:
        yield url


@pytest.mark.parametrize("name", ["text_classes/logistic", "boolean/network"])
def test_the_service_answers_with_labels_and_probabilities(name: str, version: Callable[[str], Path]) -> None:
    folder = version(name)
    rows, model = golden_rows(folder), load(folder)
    with serving(folder) as url:
        status, found = call(f"{url}/predict", rows)
    assert status == 200
    assert found["classes"] == model.config.classes
    assert found["label"] == model.predict(rows).tolist()
    assert np.array_equal(np.float32(found["probabilities"]), model.predict_proba(rows))


def test_the_service_answers_a_regression_with_predictions(version: Callable[[str], Path]) -> None:
    folder = version("regression/network")
    with serving(folder) as url:
        status, found = call(f"{url}/predict", golden_rows(folder))
    assert (status, found) == (200, {"prediction": load(folder).predict(golden_rows(folder)).tolist()})


def test_the_service_says_what_it_serves(service: str) -> None:
    assert call(f"{service}/health") == (200, {"model_name": "network", "version": "1.0.0", "format": "onnx"})
    assert call(f"{service}/metadata")[1]["input_schema"][0] == {"name": "n0", "shape": [None, 1], "dtype": "float32"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n0": "many"}, "column 'n0', row 1: holds a str; give a number or null"),
        ({"c0": 3}, "column 'c0', row 1: holds a int; give text or null"),
        ({"c0": "a\0b"}, "column 'c0', row 1: holds NUL or a lone surrogate; clean the text"),
        (None, "row 1: lacks column 'n0'; give it, as null when it is unknown"),
    ],
)
def test_the_service_refuses_a_bad_row_with_one_line(
    change: dict[str, Any] | None, said: str, service: str, version: Callable[[str], Path]
) -> None:
    good = golden_rows(version("mixed/network"))[0]
    bad = {} if change is None else {**good, **change}
    assert call(f"{service}/predict", [good, bad]) == (422, {"detail": said})


@pytest.mark.parametrize("body", [b"{", b'{"n0": 1}', b"3"])
def test_the_service_refuses_a_body_that_is_no_list(body: bytes, service: str) -> None:
    assert call(f"{service}/predict", body)[0] == 422


def test_the_service_refuses_more_rows_than_it_would_hold(service: str, version: Callable[[str], Path]) -> None:
    row = golden_rows(version("mixed/network"))[0]
    assert call(f"{service}/predict", [row] * 10_000)[0] == 200
    assert call(f"{service}/predict", [row] * 10_001)[0] == 422


def test_the_service_shares_one_model_among_threads(service: str, version: Callable[[str], Path]) -> None:
    rows = golden_rows(version("mixed/network"))
    expected = call(f"{service}/predict", rows)[1]["probabilities"]
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda i: call(f"{service}/predict", [rows[i % len(rows)]])[1]["probabilities"], range(64))
        assert all(np.allclose(answer, expected[i % len(rows)], rtol=0, atol=1e-6) for i, answer in enumerate(answers))


def test_the_service_does_not_start_on_a_changed_file(workspace: Workspace) -> None:
    path = workspace.file("network", "onnx")
    path.write_bytes(path.read_bytes() + b"\0")
    said = run(sys.executable, EXAMPLES / "service/app.py", workspace.folder("network"), status=1)
    assert said.startswith(f"error: {path}: holds {path.stat().st_size} bytes, metadata.json says ")


# Node.js


@pytest.fixture(scope="module")
def node() -> Callable[..., str]:
    need("node", ("npm",))

    def call(*arguments: str | Path, status: int = 0) -> str:
        return run("node", EXAMPLES / "node/main.mjs", *arguments, status=status)

    return call


def need(example: str, *programs: tuple[str, ...]) -> None:
    """Install an example's packages; skip where a program is missing."""
    try:
        for names in programs:
            program(*names)
        replays.check_node()
    except BadInput as error:
        pytest.skip(str(error))
    npm_install(EXAMPLES / example)


@pytest.mark.parametrize("name", VERSIONS)
def test_node_gives_the_reference_s_answers(name: str, node: Callable[..., str], version: Callable[[str], Path]) -> None:
    assert REPLAYED in node("replay", version(name))


def test_node_names_the_row_that_differs(node: Callable[..., str], workspace: Workspace) -> None:
    folder = workspace.alter_golden("network", spoil)
    said = node("replay", folder, status=1)
    assert said.startswith(f"error: {folder}/golden.json: 6 golden rows replayed, largest difference 3.0e-5, 1 differ: row 4 is ")


@pytest.mark.parametrize(("by", "status"), [(0.5e-5, 0), (2e-5, 1)])
def test_a_prediction_may_differ_by_what_its_scale_allows(
    by: float, status: int, node: Callable[..., str], published: Callable[[str], Workspace], tmp_path: Path
) -> None:
    def change(golden: dict[str, Any]) -> None:
        assert golden["scale"] > 1000
        golden["prediction"][2] += by * max(golden["scale"], abs(golden["prediction"][2]))

    folder = copy(published("regression"), tmp_path).alter_golden("network", change)
    assert ("rows [2] differ" in plain(folder, status=status)) == bool(status)
    assert ("1 differ: row 2 is" in node("replay", folder, status=status)) == bool(status)


@pytest.mark.parametrize(("table", "labels"), [("text_classes", ("no", "yes")), ("boolean", (False, True)), ("mixed", (0, 1))])
def test_a_label_that_differs_is_found(
    table: str, labels: tuple[Any, Any], node: Callable[..., str], published: Callable[[str], Workspace], tmp_path: Path
) -> None:
    def change(golden: dict[str, Any]) -> None:
        golden["label"][1] = labels[golden["label"][1] == labels[0]]

    folder = copy(published(table), tmp_path).alter_golden("network", change)
    assert "rows [1] differ" in plain(folder, status=1)
    assert "1 differ: row 1 is" in node("replay", folder, status=1)


def copy(workspace: Workspace, place: Path) -> Workspace:
    """Return a copy of a workspace's versions that a test may spoil."""
    shutil.copytree(workspace.root / "models", place / "models")
    return Workspace(place)


@pytest.mark.parametrize("name", ["mixed/forest", "text_classes/network", "boolean/network", "regression/network"])
def test_node_predicts_rows_as_isoform_does(
    name: str, node: Callable[..., str], version: Callable[[str], Path], tmp_path: Path
) -> None:
    folder, rows = version(name), tmp_path / "rows.json"
    rows.write_text(json.dumps(golden_rows(folder)))
    found, model = [json.loads(line) for line in node("predict", folder, rows).splitlines()], load(folder)
    if model.config.task == "regression":
        expected = model.predict(golden_rows(folder))
        assert np.allclose([row["prediction"] for row in found], expected, rtol=1e-5)
        return
    assert [row["label"] for row in found] == model.predict(golden_rows(folder)).tolist()
    assert np.allclose([row["probabilities"] for row in found], model.predict_proba(golden_rows(folder)), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("[{}]", "row 0: lacks column 'n0'; give it"),
        ("[3]", "row 0: is no object; give a cell for each column"),
        ('[{"n0": "1"}]', "row 0, column 'n0': holds a string; give a number or null"),
        ('[{"n0": 1, "n1": 1, "n2": 1, "n3": 1, "c0": 1}]', "row 0, column 'c0': holds a number; give text or null"),
        ('[{"n0": 1, "n1": 1, "n2": 1, "n3": 1, "c0": "\\u0000"}]', "row 0, column 'c0': holds NUL or a lone surrogate"),
        ('[{"n0": 1, "n1": 1, "n2": 1, "n3": 1, "c0": "\\ud800"}]', "row 0, column 'c0': holds NUL or a lone surrogate"),
        ("{}", "rows.json: is no list; give a list of objects"),
        ("[", "rows.json: is not JSON ("),
    ],
)
def test_node_refuses_bad_rows_with_one_line(
    rows: str, said: str, node: Callable[..., str], version: Callable[[str], Path], tmp_path: Path
) -> None:
    (tmp_path / "rows.json").write_text(rows)
    printed = node("predict", version("mixed/network"), tmp_path / "rows.json", status=2)
    assert printed.startswith("error: ")
    assert said in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize("entry", ["onnx", "golden", "config"])
def test_node_parses_nothing_that_has_another_hash(entry: str, node: Callable[..., str], workspace: Workspace) -> None:
    path = workspace.folder("network") / workspace.metadata("network").files[entry].path
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert node("replay", workspace.folder("network"), status=1).startswith(f"error: {path}: sha256 is ")


def test_node_says_what_is_missing(node: Callable[..., str], workspace: Workspace) -> None:
    workspace.file("network", "onnx").unlink()
    assert "model.onnx: cannot be read (ENOENT); name a published version" in node(
        "replay", workspace.folder("network"), status=2
    )
    assert "error: the call: is no whole command; node main.mjs replay DIR" in node(status=2)


# The browser


@pytest.fixture(scope="module")
def page() -> "Iterator[Page]":
    need("browser", ("npm",), BROWSERS)
    with chromium.opened(program(*BROWSERS)) as page:
        yield page


@contextmanager
def shown(page: "Page", folder: Path) -> Iterator[tuple[bool, str]]:
    """Load a version in the page and give what that says; the server stays while the block runs."""
    with chromium.serving([folder]) as (url,):
        yield chromium.replayed(page, url)


def test_the_page_gives_the_reference_s_answers(page: "Page", version: Callable[[str], Path]) -> None:
    with chromium.serving([version(name) for name in VERSIONS]) as urls:
        said = {name: chromium.replayed(page, url) for name, url in zip(VERSIONS, urls, strict=True)}
    assert [name for name, (same, text) in said.items() if not same or REPLAYED not in text] == []


def test_the_page_loads_everything_from_its_own_server(page: "Page", version: Callable[[str], Path]) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    with shown(page, version("mixed/network")) as (same, _):
        assert same
    assert any(url.endswith(".wasm") for url in asked)
    assert {urlsplit(url.removeprefix("blob:")).hostname for url in asked} == {"127.0.0.1"}


def test_the_page_names_the_row_that_differs(page: "Page", workspace: Workspace) -> None:
    with shown(page, workspace.alter_golden("network", spoil)) as (same, text):
        assert not same
        assert text.startswith(
            "Not the reference’s answers: 6 golden rows replayed, largest difference 3.0e-5, 1 differ: row 4 is"
        )
        assert page.locator("tr[data-agrees=false]").inner_text().split()[0] == "4"


def test_the_page_shows_no_model_that_has_another_hash(page: "Page", workspace: Workspace) -> None:
    path = workspace.file("network", "onnx")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with shown(page, workspace.folder("network")) as (same, text):
        assert not same
        assert text.startswith("/versions/0/model.onnx: sha256 is ")
        assert not page.locator("main").is_visible()


def test_the_page_answers_a_row_that_a_person_has_edited(page: "Page", version: Callable[[str], Path]) -> None:
    folder = version("text_classes/network")
    rows, model = golden_rows(folder), load(folder)
    with shown(page, folder):
        page.locator("#golden tr").nth(1).click()
        page.get_by_label("n0").fill("2.5")
        page.get_by_label("n1").fill("")
        page.get_by_label("c0").fill("red")
        edited = {**rows[1], "n0": 2.5, "n1": None, "c0": "red"}
        (expected,) = model.predict_proba([edited])
        lines = [f"{name}{share:.4f}" for name, share in zip(model.config.classes, expected, strict=True)]
        page.wait_for_function("want => document.querySelector('#answer').textContent === want", arg="".join(lines), timeout=5000)
        assert page.locator("#answer .top").inner_text().startswith(model.predict([edited])[0])


def test_the_page_shows_a_prediction(page: "Page", version: Callable[[str], Path]) -> None:
    folder = version("regression/network")
    with shown(page, folder):
        found = float(page.locator("#answer").inner_text())
    assert found == pytest.approx(float(load(folder).predict(golden_rows(folder))[0]), rel=1e-5)


def test_the_server_gives_nothing_but_the_examples_and_the_versions(version: Callable[[str], Path]) -> None:
    with chromium.serving([version("mixed/network")]) as (url,):
        root = url.split("/browser/")[0]
        assert call(f"{root}/versions/0/metadata.json")[0] == 200
        # Beside the examples and the version lie README.md and v1.0.0.
        for path in ("versions/1/metadata.json", "../README.md", "%2e%2e/README.md", "versions/0/../v1.0.0/metadata.json"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                DIRECT.open(f"{root}/{path}", timeout=10).close()
            with refused.value as answer:
                assert answer.code == 404
