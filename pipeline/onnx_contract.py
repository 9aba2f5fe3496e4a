"""What every model.onnx promises beside its answers: its inputs and outputs, its labels, and no answer to no rows.

Shapes: N rows, K classes.
"""

from collections.abc import Mapping, Sequence
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
LABEL_TYPES = {str: "tensor(string)", bool: "tensor(bool)", int: "tensor(int64)"}


def check_signature(session: Any, config: Config) -> None:
    """Raise `CheckFailed` unless there is one input [N, 1] per raw column, and the outputs are those of the task."""
    expected = dict.fromkeys(config.numeric, ("tensor(float)", 1))
    expected |= dict.fromkeys(config.categorical, ("tensor(string)", 1))
    _check_tensors("input", session.get_inputs(), expected)
    outputs: dict[str, tuple[str, int | None]] = {onnx_format.OUTPUT[config.task]: ("tensor(float)", config.width)}
    if config.task == "classification":
        outputs = {"label": (LABEL_TYPES[type(config.classes[0])], None)} | outputs
    _check_tensors("output", session.get_outputs(), outputs)


def _check_tensors(kind: str, found: Sequence[Any], expected: Mapping[str, tuple[str, int | None]]) -> None:
    """Check names, types and shapes: [N] where the width is None, [N, width] elsewhere, N being any number."""
    if [tensor.name for tensor in found] != list(expected):
        reason = f"its {kind}s are {', '.join(tensor.name for tensor in found)}; expected {', '.join(expected)}"
        raise CheckFailed(WHERE, reason, ACTION)
    for tensor, (dtype, width) in zip(found, expected.values(), strict=True):
        rows, *rest = tensor.shape or [0]
        if tensor.type != dtype or isinstance(rows, int) or rest != ([] if width is None else [width]):
            shape = "[N]" if width is None else f"[N, {width}]"
            reason = f"its {kind} '{tensor.name}' is {tensor.type} {tensor.shape}; expected {dtype} {shape} for any N"
            raise CheckFailed(WHERE, reason, ACTION)


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
