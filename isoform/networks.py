"""The networks, and how any of them is rebuilt and asked. A new architecture is one class and a line in NETWORKS.

A class says its `task`, takes `numeric`, `cardinalities` and, for a classification, `classes` beside the arguments in
params.yaml, learns in `fit_statistics` what is no weight, and gives logits or predictions in `forward`. Statistics are
buffers, so that every format carries them.

Shapes: N rows, F numeric columns, C text columns, K classes.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import numpy as np
import torch
from torch import nn

from isoform import weights
from isoform.errors import BadInput
from isoform.metadata import Config, Network, Task
from isoform.rows import Columns


def deviation(values: np.ndarray) -> float:
    """Return the standard deviation of float64 [N] as a divisor: 1 where float32 has none but zero."""
    return float(np.float32(values.std())) or 1.0


class Normalize(nn.Module):
    """Fill what is missing with the median, then scale to mean 0 and deviation 1, all as seen in training.

    The statistics are buffers, so the state_dict carries the numeric preprocessing.
    """

    LIMIT = 10.0
    """Deviations from the mean beyond which a value counts as just that far: no number overflows the network."""

    fill: torch.Tensor
    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("fill", torch.zeros(features))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))

    def fit(self, numeric: np.ndarray) -> None:
        """Take the statistics of float32 [N, F]; in float64, so that they do not depend on the order of rows."""
        for column in range(numeric.shape[1]):
            values = numeric[:, column].astype(np.float64)
            present = values[~np.isnan(values)]
            fill = np.median(present) if len(present) else 0.0
            filled = np.where(np.isnan(values), fill, values)
            self.fill[column] = float(fill)
            self.mean[column] = float(filled.mean())
            self.deviation[column] = deviation(filled)

    def forward(self, numeric: torch.Tensor) -> torch.Tensor:
        """Float32 [N, F] with NaN → float32 [N, F], finite."""
        filled = torch.where(torch.isnan(numeric), self.fill, numeric)
        return ((filled - self.mean) / self.deviation).clamp(-self.LIMIT, self.LIMIT)


class Features(nn.Module):
    """Raw columns side by side: numbers normalised, each text an embedding. In front of every network here."""

    def __init__(self, numeric: int, cardinalities: Sequence[int], embedding: int) -> None:
        super().__init__()
        self.normalize = Normalize(numeric)
        # Index 0 is "unknown": its vector stays zero, because training never sees it.
        self.embeddings = nn.ModuleList(nn.Embedding(size + 1, embedding, padding_idx=0) for size in cardinalities)
        self.width = numeric + embedding * len(cardinalities)

    def forward(self, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        """Float32 [N, F] and int64 [N, C] → float32 [N, width], finite."""
        parts = [self.normalize(numeric)]
        parts += [embed(categories[:, i]) for i, embed in enumerate(self.embeddings)]
        return torch.cat(parts, dim=1)


def refuse_empty_layer(*sizes: int) -> None:
    """Raise `ValueError` for a layer without units: torch builds it, and warns."""
    if min(sizes) < 1:
        raise ValueError(f"a layer would have {min(sizes)} units")


def _hidden_layer(inputs: int, hidden: int, dropout: float, outputs: int) -> nn.Sequential:
    refuse_empty_layer(inputs, hidden, outputs)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, outputs))


class SimpleClassifier(nn.Module):
    """Linear, ReLU, dropout, linear."""

    task: Task = "classification"

    def __init__(
        self, *, numeric: int, cardinalities: Sequence[int], classes: int, hidden: int, embedding: int, dropout: float = 0.3
    ) -> None:
        super().__init__()
        self.features = Features(numeric, cardinalities, embedding)
        self.net = _hidden_layer(self.features.width, hidden, dropout, classes)

    def fit_statistics(self, numeric: np.ndarray, targets: np.ndarray) -> None:
        """Take the statistics of the training rows: float32 [N, F], int64 [N]."""
        self.features.normalize.fit(numeric)

    def forward(self, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        """Float32 [N, F] and int64 [N, C] → logits, float32 [N, K]."""
        logits: torch.Tensor = self.net(self.features(numeric, categories))
        return logits


class SimpleRegressor(nn.Module):
    """Linear, ReLU, dropout, linear, scaled from standard units to the target's."""

    task: Task = "regression"
    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, *, numeric: int, cardinalities: Sequence[int], hidden: int, embedding: int, dropout: float = 0.3) -> None:
        super().__init__()
        self.features = Features(numeric, cardinalities, embedding)
        self.net = _hidden_layer(self.features.width, hidden, dropout, outputs=1)
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("deviation", torch.ones(1))

    def fit_statistics(self, numeric: np.ndarray, targets: np.ndarray) -> None:
        """Take the statistics of the training rows: float32 [N, F], float32 [N]."""
        self.features.normalize.fit(numeric)
        exact = targets.astype(np.float64)
        self.mean[0] = float(exact.mean())
        self.deviation[0] = deviation(exact)

    def forward(self, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        """Float32 [N, F] and int64 [N, C] → prediction, float32 [N, 1]."""
        standard: torch.Tensor = self.net(self.features(numeric, categories))
        return standard * self.deviation + self.mean


NETWORKS: dict[str, type[nn.Module]] = {"SimpleClassifier": SimpleClassifier, "SimpleRegressor": SimpleRegressor}

UNFIT = (TypeError, ValueError, RuntimeError, OverflowError)
"""What a class raises for arguments that it does not take."""


def build(network: Network | None, max_numbers: int | None = None) -> nn.Module:
    """Return the network that `network` describes, with fresh weights.

    Raises `BadInput`, and `Refused` before it takes the memory of more than about `max_numbers` numbers.
    """
    if network is None or network.class_name not in NETWORKS:
        name = network.class_name if network else "none"
        raise BadInput(f"network '{name}'", "is not known", f"isoform.networks has: {', '.join(NETWORKS)}")
    try:
        with nullcontext() if max_numbers is None else weights.Limit(max_numbers):
            return NETWORKS[network.class_name](**network.arguments)
    except UNFIT as error:
        raise BadInput(f"network '{network.class_name}'", f"does not take these arguments ({error})", "correct them") from None


def rebuild(network: Network | None, state_dict: Mapping[str, torch.Tensor]) -> nn.Module:
    """Return the network with the weights of `state_dict`, in `eval()`. Raises `Refused` for those of another network."""
    weights.refuse_no_tensors(state_dict)
    module = build(network, weights.count_numbers(state_dict))
    expected = module.state_dict()
    weights.refuse_other_names(state_dict, expected)
    weights.refuse_other_shapes(state_dict, expected)
    weights.refuse_non_finite(state_dict)
    module.load_state_dict(state_dict)
    return module.eval()


def to_tensors(columns: Columns, config: Config) -> tuple[torch.Tensor, torch.Tensor]:
    """Return canonical rows as float32 [N, F] and int64 [N, C]; a value unseen in training is index 0."""
    rows = len(next(iter(columns.values())))
    numeric = np.empty((rows, len(config.numeric)), dtype=np.float32)
    for i, name in enumerate(config.numeric):
        numeric[:, i] = columns[name]
    categories = np.empty((rows, len(config.categorical)), dtype=np.int64)
    for i, name in enumerate(config.categorical):
        index = {value: position for position, value in enumerate(config.categories[name], start=1)}
        categories[:, i] = [index.get(value, 0) for value in columns[name]]
    return torch.from_numpy(numeric), torch.from_numpy(categories)


def infer(native: nn.Module, columns: Columns, config: Config) -> np.ndarray:
    """Return the network's answer to canonical rows, float32 [N, K]."""
    with torch.inference_mode():
        return answer(native(*to_tensors(columns, config)), config.task).numpy()


def answer(output: torch.Tensor, task: Task) -> torch.Tensor:
    """Turn what a network gives, float32 [N, K], into its answer: logits into probabilities, a prediction as it is."""
    return torch.softmax(output, dim=1) if task == "classification" else output
