"""pipeline.params: every value is checked before any work starts, and what is wrong is one line naming its key."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import REPOSITORY, settings
from hypothesis import given
from hypothesis import strategies as st

from isoform.errors import BadInput
from pipeline import params


def load(tmp_path: Path, content: dict[str, Any] | str) -> params.Params:
    path = tmp_path / "params.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return params.load(path)


def refused(tmp_path: Path, content: dict[str, Any] | str) -> str:
    """Return the one line with which `content` is refused."""
    with pytest.raises(BadInput) as caught:
        load(tmp_path, content)
    line = str(caught.value)
    assert line.startswith(f"{tmp_path / 'params.yaml'}: ")
    assert "\n" not in line
    return line


def text(*, replace: str = "", by: str = "") -> str:
    """Return a valid params.yaml with one line replaced."""
    valid = yaml.safe_dump(settings("mixed"), sort_keys=False)
    assert replace in valid
    return valid.replace(replace, by, 1)


def test_the_shipped_file_is_valid() -> None:
    shipped = params.load(REPOSITORY / "params.yaml")
    assert shipped.models.sklearn
    assert shipped.models.torch


@pytest.mark.parametrize(
    ("written", "value"), [("1e-3", 0.001), ("5E-2", 0.05), (".5", 0.5), ("1.", 1.0), ("3", 3.0), ("+1e+2", 100.0)]
)
def test_numbers_are_those_of_yaml_1_2(tmp_path: Path, written: str, value: float) -> None:
    found = load(tmp_path, text(replace="learning_rate: 0.01", by=f"learning_rate: {written}"))
    assert found.models.torch["network"].hyperparameters.training.learning_rate == value


@pytest.mark.parametrize("written", ["no", "yes", "on", "off", "NO", "y", "2020-01-01", "1:30"])
def test_what_yaml_1_1_would_convert_is_text(tmp_path: Path, written: str) -> None:
    assert load(tmp_path, text(replace="target: y", by=f"target: {written}")).data.target == written


@pytest.mark.parametrize(
    ("written", "value"), [("true", True), ("null", None), ("~", None), ("sqrt", "sqrt"), ("7", 7), ("0.5", 0.5)]
)
def test_hyperparameters_keep_their_type(tmp_path: Path, written: str, value: Any) -> None:
    found = load(tmp_path, text(replace="max_depth: 4", by=f"max_depth: {written}")).models.sklearn["forest"].hyperparameters
    assert found["max_depth"] == value
    assert type(found["max_depth"]) is type(value)


@pytest.mark.parametrize(
    ("replace", "by", "key"),
    [
        ("seed: 7", "seed: 7\nseed: 8", "duplicate key 'seed'"),
        ("hidden: 8", "hidden: 8\n          hidden: 9", "duplicate key 'hidden'"),
        ("seed: 7", "seed: 7\nsead: 8", "sead is 8: Extra inputs are not permitted"),
        ("epochs: 2", "epochs: 2\n          epoch: 3", "models.torch.network.hyperparameters.training.epoch"),
        ("seed: 7", "", "seed"),
        ("seed: 7", "seed: -1", "seed is -1"),
        ("seed: 7", "seed: 7.5", "seed is 7.5"),
        ("seed: 7", "seed: '7'", "seed is '7'"),
        ("seed: 7", "seed: true", "seed is True"),
        ("seed: 7", "seed: 4294967296", "seed is 4294967296"),
        ("threads: 1", "threads: 0", "threads is 0"),
        ("learning_rate: 0.01", "learning_rate: .nan", "learning_rate"),
        ("learning_rate: 0.01", "learning_rate: .inf", "learning_rate"),
        ("learning_rate: 0.01", "learning_rate: 1e999", "learning_rate"),
        ("learning_rate: 0.01", "learning_rate: -0.01", "learning_rate is -0.01"),
        ("hidden: 8", "hidden: 1e999", "hyperparameters.network.hidden"),
        ("C: 1.0", "C: [1, 1e999]", "models.sklearn.logistic.hyperparameters.C"),
        ("C: 1.0", "C: {1: 2}", "models.sklearn.logistic.hyperparameters.C"),
        ("preprocessing: onehot", "preprocessing: scaled", "models.sklearn.logistic.preprocessing is 'scaled'"),
        ("preprocessing: onehot", "", "models.sklearn.logistic.preprocessing"),
        ("test_share: 0.2", "test_share: 1", "data.test_share is 1"),
        ("opset: 18", "opset: 17", "onnx.opset is 17"),
        ("ir_version: 10", "ir_version: 11", "onnx.ir_version is 11"),
        ("bootstrap: 100", "bootstrap: 5", "evaluation.bootstrap is 5"),
        ("created_at: '2026-01-02T03:04:05Z'", "created_at: yesterday", "models.sklearn.forest.created_at is 'yesterday'"),
        ("  - n3", "  - n0", "n0 stands more than once"),
        ("target: y", "target: n0", "n0 stands more than once"),
        ("- n0", "- label", "data: .*a column may not be called 'label': an output of the model is called so"),
        ("  - n3", "  - probabilities", "data: .*a column may not be called 'probabilities': an output"),
        ("- n0", '- ""', "data: .*a column may not be called '': such names are the graph's own"),
        ("- c1", "- /x", "data: .*a column may not be called '/x': such names are the graph's own"),
        ("- c1", r'- "a\0"', r"data: .*a column may not be called 'a\\x00': NUL and lone surrogates are no text"),
        ("- n0", r'- "\ud800"', r"data: .*a column may not be called '\\ud800': NUL and lone surrogates are no text"),
        ("- n0", r'- "a\x85b"', r"data: .*a column may not be called 'a\\x85b': DVC would read U\+0085 as a space"),
        ("target: y", r'target: "\0"', r"data: .*a column may not be called '\\x00'"),
        ("- n0", "- 1e3", "data.numeric.0 is 1000.0"),
        ("task: classification", "", "data.task"),
        (
            "task: classification",
            "task: clustering",
            "data.task is 'clustering': Input should be 'classification' or 'regression'",
        ),
        ("task: classification", "task: true", "data.task is True"),
        ("    forest:", "    ../x:", "models.sklearn"),
        ("    forest:", "    Forest:", "models.sklearn"),
        ("    network:", "    forest:", "forest stands under both sklearn and torch"),
    ],
)
def test_a_wrong_value_is_one_line_naming_its_key(tmp_path: Path, replace: str, by: str, key: str) -> None:
    line = refused(tmp_path, text(replace=replace, by=by))
    assert re.search(key, line), line
    assert line.endswith("; correct it")


@pytest.mark.parametrize(
    "version", ["../x", "1.0", "1.0.0.0", "01.0.0", "1.0.0-rc1", "1.0.0/..", "v1.0.0", "", "1.0.1234567", "1.0.0\n", "１.0.0"]
)
def test_a_version_that_is_no_folder_name_is_refused(tmp_path: Path, version: str) -> None:
    content = settings("mixed")
    content["models"]["sklearn"]["forest"]["version"] = version
    assert "models.sklearn.forest.version" in refused(tmp_path, content)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "A", "1a", "a-b", "a" * 65, "a\n", "ä"])
def test_a_model_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    content = settings("mixed")
    content["models"]["sklearn"][name] = content["models"]["sklearn"].pop("forest")
    assert "models.sklearn" in refused(tmp_path, content)


def test_a_table_without_columns_is_refused_but_one_kind_is_enough(tmp_path: Path) -> None:
    assert "numeric and categorical are both empty" in refused(tmp_path, settings("mixed", numeric=[], categorical=[]))
    assert load(tmp_path, settings("mixed", numeric=[])).data.categorical
    assert load(tmp_path, settings("mixed", categorical=[])).data.numeric


@pytest.mark.parametrize(("task", "taken"), [("classification", {"label", "probabilities"}), ("regression", {"prediction"})])
def test_only_the_outputs_of_the_task_are_taken_as_names(tmp_path: Path, task: str, taken: set[str]) -> None:
    for name in ("label", "probabilities", "prediction"):
        content = settings("mixed", numeric=[name], task=task)
        if name in taken:
            assert f"a column may not be called '{name}'" in refused(tmp_path, content)
        else:
            assert load(tmp_path, content).data.numeric == [name]
    assert load(tmp_path, settings("mixed", task=task, target="label")).data.target == "label"


@given(st.text(min_size=1, max_size=8))
def test_dvc_records_the_same_names_as_are_read(name: str) -> None:
    from dvc.utils.serialize import dumps_yaml, parse_yaml

    if params.name_problem(name, "classification") is None:
        assert parse_yaml(dumps_yaml({"numeric": [name]}), "dvc.lock")["numeric"] == [name]


def test_a_python_tag_is_refused_and_not_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    line = refused(tmp_path, text(replace="seed: 7", by=f"seed: !!python/object/apply:os.mkdir ['{canary}']"))
    assert "python/object/apply" in line
    assert not canary.exists()


@pytest.mark.parametrize(
    "content", ["", "[]", "5", "a: b: c", "\t", "a: [", "%", "\0", "? {a: 1}\n: 2\n", "? [1]\n: 2\n", "&a [*a]", "5: 6"]
)
def test_what_is_no_params_file_is_one_line(tmp_path: Path, content: str) -> None:
    refused(tmp_path, content)


def test_bytes_that_are_not_utf8_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(b"seed: \xff\xfe\n")
    with pytest.raises(BadInput, match=r"params\.yaml"):
        params.load(tmp_path / "params.yaml")


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        params.load(tmp_path / "params.yaml")


def test_an_unknown_model_lists_the_names(tmp_path: Path) -> None:
    found = load(tmp_path, settings("mixed"))
    assert found.model("sklearn", "forest").builder == "sklearn.ensemble.RandomForestClassifier"
    with pytest.raises(BadInput, match=r"models\.torch has no 'forest'; give one of: network"):
        found.model("torch", "forest")


@pytest.mark.parametrize("key", ["seed", "threads", "data", "onnx", "evaluation", "models"])
def test_params_cannot_be_changed_after_they_are_read(tmp_path: Path, key: str) -> None:
    found = load(tmp_path, settings("mixed"))
    with pytest.raises(ValueError, match="frozen"):
        setattr(found, key, None)


@pytest.mark.parametrize("written", ["8", "08", "-010", "0", "1e-3", "1.", ".5", "1E5", "true", "no", "~"])
def test_dvc_reads_the_same_value(tmp_path: Path, written: str) -> None:
    # dvc.lock records what DVC's parser reads: a model must not be trained with another value.
    from dvc.utils.serialize import parse_yaml

    expected = parse_yaml(f"max_depth: {written}", "params.yaml")["max_depth"]
    found = load(tmp_path, text(replace="max_depth: 4", by=f"max_depth: {written}")).models.sklearn["forest"]
    assert repr(found.hyperparameters["max_depth"]) == repr(expected)


def test_dvc_reads_the_shipped_file_alike() -> None:
    from dvc.utils.serialize import parse_yaml

    path = REPOSITORY / "params.yaml"
    assert parse_yaml(path.read_text(), str(path)) == params.load(path).model_dump()
