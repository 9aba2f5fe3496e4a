"""Compare what a format answers with what the reference answers, and refuse the first difference too many.

Shapes: N rows, K classes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from isoform.errors import CheckFailed
from isoform.formats import onnx as onnx_format
from isoform.loading import labels
from isoform.metadata import Config, Parity
from isoform.rows import Columns, canonical, count, take

Answer = Callable[[Columns], np.ndarray]
"""Canonical rows → float32 [N, K]."""

REFERENCE = {"sklearn": "joblib", "torch": "state_dict"}
TOLERANCE = 1e-5
"""Largest difference in probability allowed to a format that computes by itself."""
HOSTILE_NUMBERS = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, 1e38, -1e38, 2.0**24 + 2, 0.1)
HOSTILE_TEXTS = ("", "never seen in training", "Žluťoučký kůň ✈", "x" * 10_000)
EXACT = {"pickle", "full_model", "checkpoint", "safetensors"}
"""Formats that hold the reference's own object or tensors: not a bit may differ."""


def tolerance(name: str) -> float:
    """Return the largest difference in probability allowed to format `name`."""
    return 0.0 if name in EXACT else TOLERANCE


def sample(columns: Columns, rows: int, seed: int) -> np.ndarray:
    """Return the positions of `rows` seeded rows, int64, ascending; of all when there are fewer."""
    have = count(columns)
    return np.sort(np.random.default_rng(seed).permutation(have)[: min(rows, have)])


def in_batches(answer: Answer, columns: Columns, size: int) -> np.ndarray:
    """Return the answers to all rows, asked `size` at a time."""
    starts = range(0, count(columns), size)
    return np.concatenate([answer(take(columns, slice(start, start + size))) for start in starts])


def reference_answers(
    answer: Answer, columns: Columns, picked: np.ndarray, batches: Sequence[int]
) -> list[tuple[np.ndarray, np.ndarray, int | None]]:
    """Ask the reference once: for all rows, then for the `picked` rows in each batch size.

    Returns (positions [M], probabilities [M, K], batch size or None for all at once).
    """
    few = take(columns, picked)
    whole = (np.arange(count(columns)), answer(columns), None)
    return [whole, *((picked, in_batches(answer, few, size), size) for size in batches)]


def hostile_rows(columns: Columns, config: Config) -> Columns:
    """Return raw rows made to part formats: float32 with NaN, ±inf, ±0, subnormal and huge numbers; odd texts."""
    rows = len(HOSTILE_NUMBERS)
    raw = {name: np.array(HOSTILE_NUMBERS, dtype=np.float32) for name in config.numeric}
    for name in config.categorical:
        texts = [columns[name][0], *HOSTILE_TEXTS]
        raw[name] = np.array([texts[i % len(texts)] for i in range(rows)], dtype=object)
    return raw


def compare_hostile(answers: Mapping[str, Answer], columns: Columns, config: Config, reference: str, scale: float = 1.0) -> None:
    """Compare every format on hostile rows; model.onnx gets them raw, because the row policy is in its graph."""
    raw = hostile_rows(columns, config)
    clean = canonical(raw, config.numeric, config.categorical)
    expected = reference_answers(answers[reference], clean, np.arange(0), [])
    for name, answer in answers.items():
        compare(name, answer, raw if name == "onnx" else clean, expected, reference, what="hostile row", scale=scale)


def check_graph_labels(session: Any, columns: Columns, probabilities: np.ndarray, config: Config) -> None:
    """Raise `CheckFailed` when the graph's own `label` [N] is not the class of the largest probability [N, K]."""
    found, wanted = onnx_format.predict(session, columns), labels(probabilities, config)
    wrong = np.flatnonzero(found != wanted)
    if len(wrong):
        row = wrong[0]
        reason = f"its label is {found[row]!r}, its most probable class {wanted[row]!r}; {len(wrong)} rows are wrong"
        raise CheckFailed(f"format 'onnx', test row {row}", reason, "correct its exporter; nothing was published")


def compare(
    name: str,
    answer: Answer,
    columns: Columns,
    expected: Sequence[tuple[np.ndarray, np.ndarray, int | None]],
    reference: str,
    what: str = "test row",
    scale: float = 1.0,
) -> Parity:
    """Ask format `name` what the reference was asked and return how far apart they are.

    Raises `CheckFailed` naming the format, the row and both values when an answer is not finite, has
    another shape, differs by more than the tolerance, or gives another label.
    """
    limit, worst, worst_row = tolerance(name), 0.0, 0
    for positions, wanted, size in expected:
        rows = take(columns, positions) if size else columns
        try:
            found = in_batches(answer, rows, size) if size else answer(rows)
        except Exception as error:
            at = f"in batches of {size}" if size else "on all rows at once"
            raise CheckFailed(f"format '{name}'", f"failed {at} ({error})", "correct its exporter") from error
        if found.shape != wanted.shape:
            raise CheckFailed(
                f"format '{name}'", f"answers with shape {found.shape}, {reference} with {wanted.shape}", "correct its exporter"
            )
        difference = (np.abs(found.astype(np.float64) - wanted) / np.maximum(scale, np.abs(wanted.astype(np.float64)))).max(
            axis=1
        )
        # A NaN must not pass for a small difference.
        bad = ~(difference <= limit) | (found.argmax(axis=1) != wanted.argmax(axis=1))
        if bad.any():
            row = int(np.flatnonzero(bad)[np.nan_to_num(difference[bad], nan=np.inf).argmax()])
            values = f"answers {found[row].tolist()}, {reference} answers {wanted[row].tolist()}"
            extent = f"{bad.sum()} of {len(bad)} rows differ by more than {limit:g} or in the label"
            action = "correct its exporter; nothing was published"
            raise CheckFailed(f"format '{name}', {what} {positions[row]}", f"{values}; {extent}", action)
        if difference.max(initial=0.0) > worst:
            worst, worst_row = float(difference.max()), int(positions[difference.argmax()])
    return Parity(
        reference=reference,
        tolerance=limit,
        max_difference=float(f"{worst:.3g}"),
        worst_row=worst_row,
        label_flips=0,
        rows=count(columns),
        batches=[size for _, _, size in expected if size],
    )
