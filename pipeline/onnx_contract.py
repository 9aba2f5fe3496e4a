"""What every model.onnx promises beside its answers: its labels, and no answer to no rows. (Its inputs: isoform.formats.onnx.)

Shapes: N rows, K classes.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from isoform.errors import CheckFailed
from isoform.formats import onnx as onnx_format
from isoform.labels import labels
from isoform.metadata import Config
from isoform.rows import Columns
from pipeline.parity import Question, in_batches

WHERE, ACTION = "format 'onnx'", "correct its exporter; nothing was published"


def check_labels(
    session: Any, questions: Sequence[Question], expected: Sequence[np.ndarray], config: Config, reference: str
) -> None:
    """Raise `CheckFailed` when the graph's own `label` is not that of the reference's answers."""
    if config.task != "classification":
        return
    for question, answers in zip(questions, expected, strict=True):
        found = in_batches(partial(onnx_format.predict, session), question.plain, question.size)
        wanted = labels(answers, config)
        wrong = np.flatnonzero(found != wanted)
        if len(wrong):
            row = int(wrong[0])
            reason = f"its label is {found.tolist()[row]!r}, {reference}'s {wanted.tolist()[row]!r} of {answers[row].tolist()}"
            where = f"{WHERE}, {question.describe(row)}"
            raise CheckFailed(where, f"{reason}; {len(wrong)} of {len(found)} rows are wrong", ACTION)


def check_no_rows(session: Any, columns: Columns) -> None:
    """Raise `CheckFailed` unless the graph, given no rows, answers with every output of no rows."""
    try:
        found = session.run(None, {name: column[:0].reshape(0, 1) for name, column in columns.items()})
    except Exception as error:  # onnxruntime's own classes, a dozen
        raise CheckFailed(WHERE, f"failed on a batch of no rows ({str(error)[:200]})", ACTION) from error
    for output, answers in zip(session.get_outputs(), found, strict=True):
        if answers.shape != (0, *output.shape[1:]):
            reason = f"its output '{output.name}' has shape {list(answers.shape)} for a batch of no rows"
            raise CheckFailed(WHERE, reason, ACTION)
