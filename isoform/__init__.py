"""Isoform: load a published model in whichever format suits you, and get the same answers.

>>> from isoform import load
>>> model = load("models/simple_classifier/v1.0.0")
>>> model.predict_proba(rows)           # float32 [N, K]
"""

from typing import TYPE_CHECKING

__all__ = ["IsoformError", "Model", "__version__", "load"]
__version__ = "0.1.0"

if TYPE_CHECKING:
    from isoform.errors import IsoformError
    from isoform.loading import Model, load

_HOME = {"load": "isoform.loading", "Model": "isoform.loading", "IsoformError": "isoform.errors"}


def __getattr__(name: str) -> object:
    # Lazy, so that a stage that needs one module of this package does not import (and depend on) all.
    if name not in _HOME:
        raise AttributeError(f"module 'isoform' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
