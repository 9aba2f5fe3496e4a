"""The networks, and how any of them is rebuilt and asked. A new architecture is one class and a line in NETWORKS.

Shapes: N rows, F numeric columns, C text columns, K classes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from isoform.errors import BadInput
from isoform.metadata import Config, Network
from isoform.rows import Columns


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
            self.deviation[column] = float(filled.std()) or 1.0

    def forward(self, numeric: torch.Tensor) -> torch.Tensor:
        """Float32 [N, F] with NaN → float32 [N, F], finite."""
        filled = torch.where(torch.isnan(numeric), self.fill, numeric)
        return ((filled - self.mean) / self.deviation).clamp(-self.LIMIT, self.LIMIT)


class SimpleClassifier(nn.Module):
    """Linear, ReLU, dropout, linear, behind embeddings for text and a normalising layer for numbers."""

    def __init__(
        self, *, numeric: int, cardinalities: Sequence[int], classes: int, hidden: int, embedding: int, dropout: float = 0.3
    ) -> None:
        super().__init__()
        self.normalize = Normalize(numeric)
        # Index 0 is "unknown": its vector stays zero, because training never sees it.
        self.embeddings = nn.ModuleList(nn.Embedding(size + 1, embedding, padding_idx=0) for size in cardinalities)
        self.net = nn.Sequential(
            nn.Linear(numeric + embedding * len(cardinalities), hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, classes),
        )

    def forward(self, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        """Float32 [N, F] and int64 [N, C] → logits, float32 [N, K]."""
        parts = [self.normalize(numeric)]
        parts += [embed(categories[:, i]) for i, embed in enumerate(self.embeddings)]
        logits: torch.Tensor = self.net(torch.cat(parts, dim=1))
        return logits


NETWORKS: dict[str, type[nn.Module]] = {"SimpleClassifier": SimpleClassifier}


def build(network: Network | None) -> nn.Module:
    """Return the network that `network` describes, with fresh weights."""
    if network is None or network.class_name not in NETWORKS:
        name = network.class_name if network else "none"
        raise BadInput(f"network '{name}'", "is not known", f"isoform.networks has: {', '.join(NETWORKS)}")
    try:
        return NETWORKS[network.class_name](**network.arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"network '{network.class_name}'", f"does not take these arguments ({error})", "correct them") from None


def rebuild(network: Network | None, state_dict: Mapping[str, torch.Tensor]) -> nn.Module:
    """Return the network with the weights of `state_dict`, in `eval()`."""
    module = build(network)
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


def predict_proba(native: nn.Module, columns: Columns, config: Config) -> np.ndarray:
    """Return the softmax of the network's logits."""
    with torch.inference_mode():
        return torch.softmax(native(*to_tensors(columns, config)), dim=1).numpy()
