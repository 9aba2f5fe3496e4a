"""params.yaml, typed: every value is checked before any work starts.

Run     python -m pipeline.params       ('make run' does, before DVC reads the file: DVC expands and takes what is refused here)
"""

import re
import sys
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError, model_validator

from isoform import errors
from isoform.errors import BadInput, Refused
from isoform.metadata import MODEL_NAME, VERSION, Task
from pipeline import plain_yaml
from pipeline.determinism import Reproducibility

PATH = Path("params.yaml")


def refuse_bad_name(name: str) -> None:
    """Raise `ValueError` unless a model's name can be nothing else: it stands in paths and in the names of stages."""
    if not re.fullmatch(MODEL_NAME, name):
        raise ValueError("a model's name is of a-z, 0-9 and _, at most 64 letters, a letter first")


def refuse_bad_version(version: str) -> None:
    """Raise `ValueError` unless `version` is three numbers: it stands in paths."""
    if not re.fullmatch(VERSION, version):
        raise ValueError("a version is three numbers, as 1.0.0")


def refuse_bad_source(source: str) -> None:
    """Raise `ValueError` unless `source` is a path inside the repository."""
    leaves = source.startswith(("/", "~", "-")) or "://" in source or ".." in PurePosixPath(source).parts
    if leaves or not source or not source.isprintable() or len(source.encode()) > 255:
        raise ValueError("a table lies inside this repository, at a path such as data/raw/mine.csv")


# By name, when they are called: tests/faults takes them out.
Name = Annotated[str, AfterValidator(lambda name: refuse_bad_name(name) or name)]
Version = Annotated[str, AfterValidator(lambda version: refuse_bad_version(version) or version)]
Source = Annotated[str, AfterValidator(lambda source: refuse_bad_source(source) or source)]
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
    source: Source
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
        refuse_unknown_model(entries, kind, name)
        return entries[name]


def refuse_unknown_model(entries: dict[str, Any], kind: str, name: str) -> None:
    """Raise `BadInput` when no model has that name."""
    if name not in entries:
        raise BadInput(PATH, f"models.{kind} has no '{name[:80]}'", f"give one of: {', '.join(entries) or 'none'}")


def load(path: Path = PATH) -> Params:
    """Read and check params.yaml; raises `BadInput` naming the key, what stands there and what is expected."""
    try:
        return Params.model_validate(plain_yaml.read(path))
    except Refused as refusal:
        raise BadInput(path, str(refusal), "correct it") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"] if part != "[key]")[:200] or "the file"
        value = "" if isinstance(first["input"], dict | list) else f" is {first['input']!r:.80}"
        raise BadInput(path, f"{key}{value}: {first['msg'].removeprefix('Value error, ')}", "correct it") from None


def main() -> None:
    load()


if __name__ == "__main__":
    sys.exit(errors.run(main))
