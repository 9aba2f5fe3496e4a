"""isoform.metadata: what is written reads back the same, and what does not fit is one line naming the field."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import pytest
from builders import MODELS, REPOSITORY, Workspace
from hypothesis import given
from hypothesis import strategies as st

from isoform import metadata
from isoform.errors import BadInput
from isoform.metadata import Config, Data, Estimate, File, Golden, Metadata, Network, Parity, Tensor, parse, to_json
from pipeline.datasets import Schema
from pipeline.publishing import json_schema

HERE = Path("somewhere.json")
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
real = st.floats(allow_nan=False, allow_infinity=False)
whole = st.integers(-(2**53), 2**53)
label = st.booleans() | whole | text
scalars = st.none() | st.booleans() | whole | real | text


def few(items: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(items, max_size=4)


def named(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(text, values, max_size=3)


tensors = st.builds(Tensor, name=text, shape=few(st.none() | whole), dtype=st.sampled_from(["float32", "string", "int64"]))
parities = st.builds(
    Parity,
    reference=text,
    tolerance=real,
    max_difference=real,
    worst_row=whole,
    label_flips=whole,
    rows=whole,
    batches=few(whole),
    hostile_rows=whole,
)
files = st.builds(File, path=text, bytes=whole, sha256=text, parity=st.none() | parities)
data = st.builds(Data, source=text, target=text, train_rows=whole, test_rows=whole, train_sha256=text, test_sha256=text)
documents = {
    Metadata: st.builds(
        Metadata,
        model_name=text,
        version=text,
        framework=text,
        created_at=text,
        metrics=named(st.builds(Estimate, value=real, low=real, high=real)),
        training_config=named(scalars | few(scalars) | named(scalars)),
        input_schema=few(tensors),
        output_schema=few(tensors),
        data=data,
        environment=named(text),
        files=named(files),
    ),
    Config: st.builds(
        Config,
        model_name=text,
        builder=text,
        hyperparameters=named(scalars),
        numeric=few(text),
        categorical=few(text),
        categories=named(few(text)),
        classes=few(label),
        network=st.none() | st.builds(Network, class_name=text, arguments=named(scalars | few(whole))),
    ),
    Golden: st.builds(
        Golden,
        tolerance=real,
        scale=real,
        columns=few(text),
        rows=few(few(real | text | st.none())),
        label=st.none() | few(label),
        probabilities=st.none() | few(few(real)),
        prediction=st.none() | few(real),
    ),
    Schema: st.builds(
        Schema,
        source=text,
        target=text,
        numeric=few(text),
        categorical=few(text),
        categories=named(few(text)),
        classes=few(label),
        train_rows=whole,
        test_rows=whole,
        train_sha256=text,
        test_sha256=text,
    ),
}


@pytest.mark.parametrize("kind", documents, ids=lambda kind: kind.__name__)
@given(drawn=st.data())
def test_every_document_reads_back_as_it_was_written(kind: type, drawn: st.DataObject) -> None:
    document = drawn.draw(documents[kind])
    written = to_json(document)
    assert parse(kind, written.encode(), HERE) == document
    assert json.loads(written) == dataclasses.asdict(document)


def test_a_list_of_scalars_stands_on_one_line() -> None:
    expected = '{\n  "a": [1, "x, y", null],\n  "b": [\n    [1.5],\n    ["\\n"]\n  ],\n  "c": []\n}\n'
    assert to_json({"a": [1, "x, y", None], "b": [[1.5], ["\n"]], "c": []}) == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_no_document_holds_nan_or_infinity(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(Estimate(value=value, low=0.0, high=1.0))


def test_an_object_without_a_json_form_is_refused() -> None:
    with pytest.raises(TypeError, match="set has no JSON form"):
        to_json({"a": {1}})


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (b"", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"value": ' + b"9" * 10_000 + b"}", "is not JSON"),
        (b"[]", r"\$ is \[\], expected an object"),
        (b'{"value": 1, "low": 1}', r"\$\.high is missing"),
        (b'{"value": 1, "low": 1, "high": 1, "odd": 1}', r"\$\.odd is not a known field"),
        (b'{"value": true, "low": 1, "high": 1}', r"\$\.value is true, expected float"),
        (b'{"value": "1", "low": 1, "high": 1}', r'\$\.value is "1", expected float'),
        (b'{"value": null, "low": 1, "high": 1}', r"\$\.value is null, expected float"),
        (b'{"value": NaN, "low": 1, "high": 1}', r"\$\.value is NaN|is not JSON"),
        (b'{"value": 1, "low": Infinity, "high": 1}', r"\$\.low is Infinity|is not JSON"),
        (b'{"value": 1e999, "low": 1, "high": 1}', r"\$\.value is Infinity|is not JSON"),
        (b'{"value": 1' + b"0" * 400 + b', "low": 1, "high": 1}', r"\$\.value is 10000"),
    ],
)
def test_a_document_that_does_not_fit_is_one_line_naming_the_field(document: bytes, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint) as caught:
        parse(Estimate, document, HERE)
    assert str(caught.value).startswith("somewhere.json: ")
    assert "restore it with 'git checkout'" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda d: d["files"]["onnx"].update(bytes=1.5), r"\$\.files\.onnx\.bytes is 1\.5, expected int"),
        (lambda d: d["files"]["onnx"].update(bytes=True), r"\$\.files\.onnx\.bytes is true, expected int"),
        (lambda d: d["files"]["onnx"].pop("sha256"), r"\$\.files\.onnx\.sha256 is missing"),
        (lambda d: d["files"]["onnx"].update(sha256=None), r"\$\.files\.onnx\.sha256 is null, expected str"),
        (lambda d: d["files"]["onnx"]["parity"].update(batches=[1, "2"]), r"\$\.files\.onnx\.parity is"),
        (lambda d: d["input_schema"][1].update(dtype="float64"), r'\$\.input_schema\[1\]\.dtype is "float64"'),
        (lambda d: d["input_schema"][0].update(shape=[None, "1"]), r'\$\.input_schema\[0\]\.shape\[1\] is "1"'),
        (lambda d: d.update(environment={"python": 3.11}), r"\$\.environment\.python is 3\.11, expected str"),
        (lambda d: d.update(metrics=[]), r"\$\.metrics is \[\]"),
        (lambda d: d.update(created_at=5), r"\$\.created_at is 5, expected str"),
    ],
)
def test_a_spoilt_metadata_json_names_the_field(workspace: Workspace, change: Callable[[Any], None], field: str) -> None:
    path = workspace.folder("forest") / "metadata.json"
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(BadInput, match=field):
        metadata.read(workspace.folder("forest"))


def test_a_folder_that_is_no_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such folder"):
        metadata.read(tmp_path / "absent")
    with pytest.raises(BadInput, match=r"has no metadata.json, so it is no published version"):
        metadata.read(tmp_path)


@pytest.mark.parametrize("model", MODELS)
def test_published_metadata_parses_and_fits_its_schema(published: Callable[[str], Workspace], model: str) -> None:
    workspace = published("mixed")
    document = workspace.metadata(model)
    assert document.model_name == model
    raw = (workspace.folder(model) / "metadata.json").read_text()
    assert raw == to_json(document)
    assert pydantic.TypeAdapter(Metadata).validate_json(raw) == document


def test_the_shipped_schema_is_the_one_of_the_dataclasses() -> None:
    shipped = REPOSITORY / "isoform" / "metadata.schema.json"
    assert json.loads(shipped.read_bytes()) == json.loads(json.dumps(json_schema()))
