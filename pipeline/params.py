"""params.yaml, typed: every value is checked before any work starts.

YAML is read as DVC reads it (YAML 1.2: `1e-3` is a number, `no` is text), and a duplicate key is an error.
"""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError, model_validator

from isoform.errors import BadInput
from isoform.integrity import read_bytes
from isoform.metadata import MODEL_NAME, VERSION, Task
from pipeline.determinism import Reproducibility

PATH = Path("params.yaml")

Name = Annotated[str, StringConstraints(pattern=f"^{MODEL_NAME}$")]
Version = Annotated[str, StringConstraints(pattern=f"^{VERSION}$")]
Timestamp = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
Positive = Annotated[int, Field(gt=0)]
OUTPUTS = {"classification": ("label", "probabilities"), "regression": ("prediction",)}
"""The outputs of model.onnx; no input may have such a name."""


def name_problem(name: str, task: Task) -> str | None:
    """Return why a column of that name cannot be an input, None when it can."""
    if not name or name.startswith("/"):
        return "such names are the graph's own"
    if name in OUTPUTS[task]:
        return "an output of the model is called so"
    return _unreadable(name)


def _unreadable(name: str) -> str | None:
    if "\0" in name or any("\ud800" <= letter <= "\udfff" for letter in name):
        return "NUL and lone surrogates are no text"
    return "DVC would read U+0085 as a space" if "\x85" in name else None


class Section(BaseModel):
    """A section of params.yaml: no unknown key, no silent conversion, no NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Data(Section):
    source: str
    """The shipped flights' folder, or a CSV or Parquet file under data/raw."""
    rows: Annotated[int, Field(ge=0)]
    """Cap on the rows, by a seeded sample; 0 takes all."""
    test_share: Annotated[float, Field(gt=0, lt=1)]
    task: Task
    target: str
    """Labels of classes (text, integers, booleans), or the numbers to predict."""
    numeric: list[str]
    categorical: list[str]

    @model_validator(mode="after")
    def _columns_are_distinct(self) -> "Data":
        names = [*self.numeric, *self.categorical, self.target]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"{', '.join(repeated)} stands more than once in target, numeric and categorical")
        problems = {name: name_problem(name, self.task) for name in [*self.numeric, *self.categorical]}
        problems[self.target] = _unreadable(self.target)
        for name, problem in problems.items():
            if problem:
                raise ValueError(f"a column may not be called {name!r}: {problem}")
        if not self.numeric and not self.categorical:
            raise ValueError("numeric and categorical are both empty")
        return self


class Onnx(Section):
    opset: Annotated[int, Field(ge=18, le=22)]
    ir_version: Annotated[int, Field(ge=8, le=10)]


class Evaluation(Section):
    bootstrap: Annotated[int, Field(ge=100)]
    """Resamples behind each 95 % interval."""
    parity_rows: Positive
    parity_batches: list[Positive]
    golden_rows: Positive


class Model(Section):
    version: Version
    created_at: Timestamp
    builder: str


class SklearnModel(Model):
    """`builder` is the import path of the estimator's class."""

    preprocessing: Literal["ordinal", "onehot"]
    """What stands in front of the estimator; see pipeline/estimators.py."""
    hyperparameters: dict[str, JsonValue]
    """Arguments of the estimator; a mapping with `builder`, and `hyperparameters` if need be, is an estimator itself."""


class Training(Section):
    epochs: Positive
    batch_size: Positive
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    learning_rate_decay: Annotated[float, Field(gt=0, le=1)]
    """Factor on the learning rate after each epoch."""
    checkpoint_every_steps: Positive
    """Steps of the optimizer between checkpoints; a killed training loses at most these."""


class TorchHyperparameters(Section):
    network: dict[str, int | float | str | bool | None]
    """Arguments of the network's class, beside those that follow from the data."""
    training: Training


class TorchModel(Model):
    hyperparameters: TorchHyperparameters


class Models(Section):
    sklearn: dict[Name, SklearnModel]
    torch: dict[Name, TorchModel]

    @model_validator(mode="after")
    def _names_are_distinct(self) -> "Models":
        if both := sorted(self.sklearn.keys() & self.torch.keys()):
            raise ValueError(f"{', '.join(both)} stands under both sklearn and torch")
        return self


class Params(Section):
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    reproducibility: Reproducibility
    threads: Positive
    device: Literal["cpu", "cuda"]
    """Where networks are trained."""
    data: Data
    onnx: Onnx
    evaluation: Evaluation
    models: Models

    def model(self, kind: Literal["sklearn", "torch"], name: str) -> Any:
        """Return the entry of model `name`; `BadInput` lists the names when there is none."""
        entries: dict[str, Any] = getattr(self.models, kind)
        if name not in entries:
            have = ", ".join(entries) or "none"
            raise BadInput(PATH, f"models.{kind} has no '{name}'", f"give one of: {have}")
        return entries[name]


def load(path: Path = PATH) -> Params:
    """Read and check params.yaml; raises `BadInput` naming the key, what stands there and what is expected."""
    try:
        content = yaml.load(read_bytes(path, max_bytes=1 << 20), Loader=_Loader)
    except yaml.YAMLError as error:
        raise BadInput(path, f"is not the YAML expected ({error})", "correct it") from None
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the file"
        value = "" if isinstance(first["input"], dict | list) else f" is {first['input']!r}"
        raise BadInput(path, f"{key}{value}: {first['msg']}", "correct it") from None


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2's core schema instead of 1.1's, and without duplicate keys."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key '{key}'", node.start_mark)
        return super().construct_mapping(node, deep)


def _add_core_schema() -> None:
    import re

    for tag, pattern, first in (
        ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
        ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
        ("int", r"^[-+]?[0-9]+$", list("-+0123456789")),
        ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", list("-+.0123456789")),
    ):
        _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), first)
    # YAML 1.1 would read 010 as eight.
    _Loader.add_constructor("tag:yaml.org,2002:int", lambda _, node: int(node.value))


_add_core_schema()
