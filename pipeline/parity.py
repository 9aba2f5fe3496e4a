"""Compare what a format answers with what the reference answers, and refuse the first difference too many.

Shapes: N rows, K classes; in a regression K is 1 and the column is the prediction.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from isoform.errors import CheckFailed, first_line
from isoform.labels import most_probable
from isoform.metadata import Config, Parity
from isoform.rows import Columns, canonical, count, take
from pipeline import hostile, jumps

Answer = Callable[[Columns], np.ndarray]
"""Rows → float32 [N, K]; canonical rows, of model.onnx any it takes."""

REFERENCE = {"sklearn": "joblib", "torch": "state_dict"}
TOLERANCE = 1e-5
"""Largest difference allowed to a format that computes by itself."""
EXACT = {"pickle", "full_model", "checkpoint", "safetensors"}
"""Formats that hold the reference's own object or tensors: not a bit may differ."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """Rows that every format is asked."""

    rows: Columns
    """Canonical."""
    plain: Columns
    """The same rows for model.onnx, which gets them without `canonical`: the row policy is in its graph."""
    positions: np.ndarray
    """The test row that each row is, or was made from, int64 [N]."""
    size: int | None = None
    """Rows asked at a time; None asks all at once."""
    cases: Sequence[hostile.Case] | None = None
    """What made the rows hostile."""

    def describe(self, row: int) -> str:
        """Name a row in an error."""
        return hostile.describe(self.cases[row]) if self.cases else f"test row {self.positions[row]}"


def tolerance(name: str) -> float:
    """Return the largest difference allowed to format `name`."""
    return 0.0 if name in EXACT else TOLERANCE


def sample(columns: Columns, rows: int, seed: int) -> np.ndarray:
    """Return the positions of `rows` seeded rows, int64, ascending; of all when there are fewer."""
    have = count(columns)
    return np.sort(np.random.default_rng(seed).permutation(have)[: min(rows, have)])


def in_batches(answer: Answer, columns: Columns, size: int | None) -> np.ndarray:
    """Return the answers to all rows, asked `size` at a time, or at once."""
    if size is None:
        return answer(columns)
    starts = range(0, count(columns), size)
    return np.concatenate([answer(take(columns, slice(start, start + size))) for start in starts])


def held_out(columns: Columns, picked: np.ndarray, batches: Sequence[int]) -> list[Question]:
    """Ask for all rows at once, then for the `picked` ones in each batch size, over again until one batch is full."""
    questions = [Question(rows=columns, plain=columns, positions=np.arange(count(columns)))]
    for size in batches:
        positions = np.resize(picked, max(len(picked), size))
        rows = take(columns, positions)
        questions.append(Question(rows=rows, plain=rows, positions=positions, size=size))
    return questions


def made_hostile(name: str, answer: Answer, columns: Columns, config: Config, seed: int) -> Question:
    """Ask for rows made to break exporters, and for those on either side of where the reference `name` jumps."""
    cases = hostile.cases(columns, config, sample(columns, hostile.ROWS, seed).tolist())
    try:
        cases += jumps.cases(answer, columns, config.numeric, seed)
    except Exception as error:  # it answers the held-out rows, and none between them
        reason = f"failed between two held-out rows ({first_line(error)[:200]})"
        raise CheckFailed(f"format '{name}'", reason, _action(name)) from error
    raw = hostile.raw_rows(columns, cases, config)
    return Question(
        rows=canonical(raw, config.numeric, config.categorical),
        plain=hostile.plain_rows(raw, config),
        positions=np.array([row for row, _ in cases]),
        cases=cases,
    )


def ask(name: str, answer: Answer, question: Question) -> np.ndarray:
    """Return format `name`'s answers, float32 [N, K].

    Raises `CheckFailed` when it fails, and naming a row whose answer is not finite or, of several classes, no
    distribution: every row with the right columns and types has an answer.
    """
    rows = question.plain if name == "onnx" else question.rows
    try:
        found = in_batches(answer, rows, question.size)
    except Exception as error:  # each runtime has its own; the cause is kept for --debug
        at = f"in batches of {question.size}" if question.size else "on all rows at once"
        where = f", {question.describe(_failing(answer, rows))}" if question.cases else ""
        raise CheckFailed(f"format '{name}'{where}", f"failed {at} ({first_line(error)[:200]})", _action(name)) from error
    if found.ndim != 2 or len(found) != len(question.positions):
        raise CheckFailed(f"format '{name}'", f"answers with shape {found.shape} to {count(rows)} rows", _action(name))
    faults = {"which is not finite, though its columns and types are right": ~np.isfinite(found).all(axis=1)}
    if found.shape[1] > 1:
        sums = np.abs(found.sum(axis=1, dtype=np.float64) - 1) <= TOLERANCE
        faults["which lie outside [0, 1] or do not sum to 1"] = ~(sums & (found >= 0).all(axis=1) & (found <= 1).all(axis=1))
    for fault, bad in faults.items():
        if bad.any():
            row = int(bad.argmax())
            reason = f"answers {found[row].tolist()}, {fault}; {bad.sum()} of {len(bad)} rows are so"
            raise CheckFailed(f"format '{name}', {question.describe(row)}", reason, _action(name))
    return found


def compare(
    name: str, answer: Answer, questions: Sequence[Question], expected: Sequence[np.ndarray], reference: str, scale: float = 1.0
) -> Parity:
    """Ask format `name` what the reference was asked and return how far apart they are.

    The difference is |found − expected| / max(scale, |expected|). Raises `CheckFailed` naming the format, the row and
    both answers when one has another shape, differs by more than the tolerance, or gives another label.
    """
    limit, worst, worst_row = tolerance(name), 0.0, 0
    for question, wanted in zip(questions, expected, strict=True):
        found = ask(name, answer, question)
        if found.shape != wanted.shape:
            reason = f"answers with shape {found.shape}, {reference} with {wanted.shape}"
            raise CheckFailed(f"format '{name}'", reason, _action(name))
        # As float64: a last bit must not vanish where a format may not differ by one.
        difference = (np.abs(found.astype(np.float64) - wanted) / np.maximum(scale, np.abs(wanted.astype(np.float64)))).max(
            axis=1
        )
        flipped = most_probable(found) != most_probable(wanted)
        bad = ~(difference <= limit) | flipped
        if bad.any():
            # Hostile rows begin with those in which one column alone is; of others the worst tells most.
            row = int(bad.argmax() if question.cases else np.flatnonzero(bad)[difference[bad].argmax()])
            extent = f"{(difference > limit).sum()} of {len(bad)} rows differ by more than {limit:g}"
            extent += f", {flipped.sum()} in the label" if found.shape[1] > 1 else ""
            reason = f"answers {found[row].tolist()}, {reference} answers {wanted[row].tolist()}; {extent}"
            raise CheckFailed(f"format '{name}', {question.describe(row)}", reason, _action(name))
        if difference.max(initial=0.0) > worst:
            worst, worst_row = float(difference.max()), int(question.positions[difference.argmax()])
    return Parity(
        reference=reference,
        tolerance=limit,
        max_difference=float(f"{worst:.3g}"),
        worst_row=worst_row,
        label_flips=0,
        rows=len(questions[0].positions),
        batches=[question.size for question in questions if question.size],
        hostile_rows=sum(len(question.cases) for question in questions if question.cases),
    )


def _action(name: str) -> str:
    at_fault = {"joblib": "choose another preprocessing or estimator", "state_dict": "correct the network"}
    return f"{at_fault.get(name, 'correct its exporter')}; nothing was published"


def _failing(answer: Answer, rows: Columns) -> int:
    """Return a row on which `answer` fails, by halves."""
    first, end = 0, count(rows)
    while end - first > 1:
        middle = (first + end) // 2
        try:
            answer(take(rows, slice(first, middle)))
            first = middle
        except Exception:  # whatever it was, it lies in this half
            end = middle
    return first
