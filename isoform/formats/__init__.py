"""Every format a model is shipped in: one small module each, imported only when it is used.

Each module has the same three functions:

- `dump(model) -> bytes`: the same model gives the same bytes, always;
- `load(data, config) -> native`: parse bytes that were already verified; a network comes back in `eval()`;
- `infer(native, columns, config) -> float32 [N, K]`: answer canonical rows, without gradients. For a classification K is the
  number of classes and the answer their probabilities; for a regression K is 1 and the answer the prediction.

`onnx` has a fourth, `prepare(rows, numeric, categorical)`, in the place of `isoform.rows.canonical`: less work, the same answers.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from isoform import warning_filters
from isoform.errors import BadInput
from isoform.metadata import Config
from isoform.rows import Columns


class FormatModule(Protocol):
    """What a module of this package offers."""

    def dump(self, model: Any) -> bytes:
        """Return the content of the file."""

    def load(self, data: bytes, config: Config, **options: bool) -> Any:
        """Parse verified bytes; raises `Refused` for what the format's policy forbids, or whatever its library raises."""

    def infer(self, native: Any, columns: Columns, config: Config) -> np.ndarray:
        """Return float32 [N, K]."""


@dataclass(frozen=True)
class Format:
    """What is known of a format before its module, or its file, is opened."""

    filename: str
    safe: bool
    """False: loading it unpickles, so it is loaded only when asked for by name and trusted."""
    extra: str
    """The extra of this package that brings its libraries; "" for the base."""
    bound_to: tuple[str, ...] = ()
    """Libraries whose own objects are in the file: another version than the recorded one may read them as something else."""

    @property
    def module(self) -> str:
        """Import path; the module is named as the format."""
        name = next(name for name, entry in FORMATS.items() if entry is self)
        return f"isoform.formats.{name}"


# From the safest to the least: `load` without a format takes the first that is present.
FORMATS = {
    "onnx": Format("model.onnx", safe=True, extra=""),
    "safetensors": Format("model.safetensors", safe=True, extra="torch"),
    "state_dict": Format("model.pt", safe=True, extra="torch"),
    "checkpoint": Format("checkpoint.pt", safe=True, extra="torch"),
    "joblib": Format("pipeline.joblib", safe=False, extra="sklearn", bound_to=("scikit-learn", "numpy", "joblib")),
    "pickle": Format("pipeline.pkl", safe=False, extra="sklearn", bound_to=("scikit-learn", "numpy")),
    "full_model": Format("model_full.pt", safe=False, extra="torch", bound_to=("torch",)),
}


def open_format(name: str) -> FormatModule:
    """Import the module of format `name`; `BadInput` says what to install when its library is missing."""
    if name not in FORMATS:
        raise BadInput(f"format '{name}'", "is not known", f"give one of {', '.join(FORMATS)}")
    try:
        with warning_filters.ALONE:
            return import_module(FORMATS[name].module)
    except ModuleNotFoundError as error:
        library = (error.name or "").split(".")[0]
        action = f"pip install 'isoform[{FORMATS[name].extra}]'" if FORMATS[name].extra else f"pip install {library}"
        raise BadInput(f"format '{name}'", f"needs {library}, which is not installed", action) from None
