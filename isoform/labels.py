"""From probabilities to a label: the one rule, which model.onnx holds as well.

Shapes: N rows, K classes.
"""

import numpy as np

from isoform.metadata import Config

TIE = 2e-5
"""Classes whose probability lies at most this far below the largest are tied with it.

Twice the tolerance that formats are held to: two classes that tie exactly in one format, as they often do in a
forest, then tie in every format that agrees with it, however each rounds its sums.
"""


def most_probable(probabilities: np.ndarray) -> np.ndarray:
    """Return the position of each row's most probable class, of tied ones the first, int64 [N]."""
    tied = probabilities >= probabilities.max(axis=1, keepdims=True) - np.float32(TIE)
    positions: np.ndarray = tied.argmax(axis=1)
    return positions


def labels(probabilities: np.ndarray, config: Config) -> np.ndarray:
    """Return the label of each row of float32 [N, K], [N]."""
    found: np.ndarray = np.asarray(config.classes)[most_probable(probabilities)]
    return found
