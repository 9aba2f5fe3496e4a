"""Fault 65: what can be wrong with params.yaml, from a wrong type to a file that was made to hang or run its reader."""
# ruff: noqa: E501 - a case a line

from collections.abc import Callable
from pathlib import Path

import builders
import pytest
import yaml
from attempts import Attempt, both

YAML = "pipeline.plain_yaml:"
LOOSEN = """-c
from typing import Any
from pydantic.fields import FieldInfo
from pipeline import params
if "{field}":
    fields = params.{section}.__pydantic_fields__
    assert "{field}" in fields
    fields["{field}"] = FieldInfo.from_annotation(Any)
else:
    assert params.{section}.model_config["extra"] == "forbid"
    params.{section}.model_config["extra"] = "ignore"
sections = "Data Onnx Evaluation Training TorchHyperparameters SklearnModel TorchModel Models Params"
for name in sections.split():
    getattr(params, name).model_rebuild(force=True)
"""


def loosened(section: str, field: str = "") -> str:
    """Return what lets everything pass in a field of a section of pipeline.params; without a field, any further key."""
    return LOOSEN.format(section=section, field=field).replace("-c\n", "-c ", 1)


def edited(replace: str, by: str) -> Callable[[Path], list[str]]:
    """Return what puts another text in the place of one in params.yaml, once, and prepares the data."""
    return written(lambda root: text_of(root, replace, by).encode())


def text_of(root: Path, replace: str, by: str) -> str:
    text = yaml.safe_dump(builders.settings("mixed"), sort_keys=False)
    assert replace in text
    return text.replace(replace, by.replace("CANARY", str(root / "canary")), 1)


def written(content: Callable[[Path], bytes]) -> Callable[[Path], list[str]]:
    def arrange(root: Path) -> list[str]:
        (root / "params.yaml").write_bytes(content(root))
        return ["-m", "stages.prepare"]

    return arrange


def laughs(root: Path) -> bytes:
    """Return a file of a kilobyte that its aliases make 10^9 texts."""
    lines = ["laughs:", "  - &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    lines += [f"  - &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]" for i in range(8)]
    return "\n".join([text_of(root, "C: 1.0", "C: *a8"), *lines]).replace("seed: 7", "\n".join([*lines, "seed: 7"]), 1).encode()


DEEP = 5000

NUMERIC = "\n  - ".join(["numeric:", *builders.NUMERIC])

# fmt: off
VALUES = [
    ("wrong type: text", "seed: 7", "seed: '7'", r"^seed is '7': Input should be a valid integer", ("Params", "seed")),
    ("wrong type: boolean", "threads: 1", "threads: true", r"^threads is True: Input should be a valid integer", ("Params", "threads")),
    ("wrong type: a number for a list", NUMERIC, "numeric: 5", r"^data\.numeric is 5: Input should be a valid list", ("Data", "numeric")),
    ("NaN", "learning_rate: 0.01", "learning_rate: .nan", r"\.training\.learning_rate is nan: .*finite number", ("Training", "learning_rate")),
    ("infinity", "weight_decay: 0.01", "weight_decay: .inf", r"\.weight_decay is inf: .*finite number", ("Training", "weight_decay")),
    ("NaN of an estimator", "C: 1.0", "C: .nan", r"^models\.sklearn\.logistic\.hyperparameters\.C\.float is nan: .*finite", ("SklearnModel", "hyperparameters")),
    ("overflow", "test_share: 0.2", "test_share: 1e999", r"^data\.test_share is inf: ", ("Data", "test_share")),
    ("negative", "seed: 7", "seed: -1", r"^seed is -1: .*greater than or equal to 0", ("Params", "seed")),
    ("negative epochs", "epochs: 2", "epochs: -2", r"\.training\.epochs is -2: .*greater than 0", ("Training", "epochs")),
    ("beyond its range", "opset: 18", "opset: 99", r"^onnx\.opset is 99: .*less than or equal to 22", ("Onnx", "opset")),
    ("unknown key", "seed: 7", "seed: 7\nsead: 8", r"^sead is 8: Extra inputs are not permitted", ("Params", "")),
    ("unknown key, nested", "epochs: 2", "epochs: 2\n          epoch: 3", r"\.training\.epoch is 3: Extra inputs", ("Training", "")),
]
PLAIN = [
    ("duplicate key", "seed: 7", "seed: 7\nseed: 8", r"^the file: duplicate key 'seed'$", "refuse_duplicate_key"),
    ("duplicate key, nested", "hidden: 8", "hidden: 8\n          hidden: 9", r"^models\.torch\.network\.hyperparameters\.network: duplicate key 'hidden'$", "refuse_duplicate_key"),
    ("keys of one value", "C: 1.0", "C: {1: a, 01: b}", r"^models\.sklearn\.logistic\.hyperparameters\.C: the key '1' is no text", "refuse_other_key"),
    ("tag !!python", "seed: 7", "seed: !!python/object/apply:os.system ['touch CANARY']", r"^seed: has the tag tag:yaml\.org,2002:python/object/apply:os\.system", "refuse_tag"),
    ("tag !!python of a key", "seed: 7", "!!python/name:os.system seed: 7", r"^the file: has the tag tag:yaml\.org,2002:python/name:os\.system", "refuse_tag"),
    ("tag of another type", "seed: 7", "seed: !!str 7", r"^seed: has the tag tag:yaml\.org,2002:str", "refuse_tag"),
    ("alias", "seed: 7", "seed: &s 7\nthread: *s", r"^thread: is the alias \*s", "refuse_alias"),
    ("alias of itself", "C: 1.0", "C: &c [*c]", r"^models\.sklearn\.logistic\.hyperparameters\.C\.0: is the alias \*c", "refuse_alias"),
    ("merged mapping", "seed: 7", "seed: 7\nbase: &b {a: 1}\nmore:\n  <<: *b", r"^more\.<<: is the alias \*b", "refuse_alias"),
    ("deep nesting, flow", "C: 1.0", f"C: {'[' * DEEP}1{']' * DEEP}", r"^models\.sklearn\.logistic\.hyperparameters\.C\S*: is nested deeper than 20", "refuse_deep"),
    ("deep nesting, block", "C: 1.0", "C:\n          " + "- " * DEEP + "1", r"^models\.sklearn\.logistic\.hyperparameters\.C\S*: is nested deeper than 20", "refuse_deep"),
    ("endless number", "max_depth: 4", f"max_depth: {'9' * 5000}", r"\.hyperparameters\.max_depth: has 5000 letters, the limit is 300", "refuse_long"),
    ("endless text", "target: y", f"target: {'y' * 900_000}", r"^data\.target: has 900000 letters, the limit is 10000", "refuse_long"),
]
FILES = [
    ("100 MB", lambda root: b"# " + b"x" * 100_000_000, r"^holds 100000002 bytes, the limit is 1048576$", "isoform.integrity:refuse_large"),
    ("billion laughs", laughs, r"^laughs\.1\.0: is the alias \*a0", YAML + "refuse_alias"),
    ("not UTF-8", lambda root: b"seed: 7\ntarget: \xff\n", r"^line 2 is not UTF-8$", YAML + "refuse_other_encoding"),
    ("UTF-16", lambda root: "seed: 7\n".encode("utf-16"), r"^line 1 is not UTF-8$", YAML + "refuse_other_encoding"),
    ("empty", lambda root: b"", r"^the file is None: Input should be a valid dictionary", "pipeline.params:Params.model_validate"),
]
UNREADABLE = [
    ("tab", b"seed: 7\n\tthreads: 1\n", r"^line 2: is not the YAML expected \(found character '\\t' that cannot start any token\)$"),
    ("not closed", b"seed: [7\n", r"^line 2: is not the YAML expected \(expected ',' or '\]'"),
    ("two documents", b"seed: 7\n---\nseed: 8\n", r"^line 2: is not the YAML expected \(but found another document\)$"),
    ("NUL", b"seed: 7\0\n", r"^is not the YAML expected \(unacceptable character #x0000"),
    ("no letter", b'seed: "\\U00110000"\n', r"^is not the YAML expected \(chr\(\) arg not in range"),
    ("no letter at all", b'seed: "\\UFFFFFFFF"\n', r"^is not the YAML expected \("),
    ("an endless version", b"%YAML 1." + b"1" * 5000 + b"\n---\nseed: 7\n", r"^is not the YAML expected \("),
    ("a list as a key", b"? [1]\n: 2\n", r"^line 1: is not the YAML expected \(found unhashable key\)$"),
]
# fmt: on
FAULTS = [
    Attempt(
        number=65, title=title, format="params.yaml", arrange=arrange, reason=reason, guard=guard, path="params.yaml", timeout_s=8
    )
    for title, arrange, reason, guard in [
        *((title, edited(replace, by), reason, loosened(*field)) for title, replace, by, reason, field in VALUES),
        *((title, edited(replace, by), reason, YAML + guard) for title, replace, by, reason, guard in PLAIN),
        *((title, written(content), reason, guard) for title, content, reason, guard in FILES),
        *((title, written(lambda root, data=data: data), reason, "") for title, data, reason in UNREADABLE),
    ]
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give a workspace with a raw table, nothing run yet, and a canary."""
    folder = tmp_path / "workspace"
    (builders.start(folder, "mixed").root / "canary").write_text("untouched")
    return folder


test_it_is_held, test_it_is_not_held_without_its_guard = both(FAULTS)
