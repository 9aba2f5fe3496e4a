"""Batches sliced from whole tensors (`pipeline.training`) against the same training step fed by a DataLoader.

The default network, batch size, threads and environment on random rows of the flights' shape; epochs in turn.

Run     python -m benchmarks.slicing [--repeats 5]     (some two minutes)
"""

import argparse

import stages  # noqa: F401  first: it pins the environment, before torch is imported

# isort: split
import torch
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.timing import ROOT, Ratio, interleaved, seconds, use_two_cores
from isoform.metadata import Config, Network
from pipeline import determinism, params, training

LIMIT = 2.5
MODEL = "simple_classifier"
ROWS = 261_876
CARDINALITIES = [16, 3, 104, 35, 7]
"""About those of the flights' text columns."""


def measure(repeats: int = 5) -> Ratio:
    """Return the ratio of the median seconds per epoch."""
    settings = params.load(ROOT / "params.yaml")
    model: params.TorchModel = settings.model("torch", MODEL)
    batch_size = model.hyperparameters.training.batch_size
    determinism.seed_torch(settings.seed, settings.threads)
    numeric = torch.randn(ROWS, len(settings.data.numeric))
    categories = torch.stack([torch.randint(1, size + 1, (ROWS,)) for size in CARDINALITIES], dim=1)
    labels = torch.randint(0, 2, (ROWS,))
    loader = DataLoader(TensorDataset(numeric, categories, labels), batch_size=batch_size, shuffle=True)
    config = describe(model, numeric.shape[1])
    sliced, loaded = (
        training.start(config, model.hyperparameters.training, numeric, labels.numpy(), settings.seed) for _ in range(2)
    )
    loaded_s, sliced_s = interleaved(
        [
            lambda: seconds(lambda: loader_epoch(loaded, loader)),
            lambda: seconds(lambda: sliced_epoch(sliced, (numeric, categories, labels), model.hyperparameters.training)),
        ],
        repeats,
        "epoch, DataLoader and slicing",
    )
    return Ratio(
        what=f"One epoch of {MODEL}: {ROWS} rows in batches of {batch_size} on {torch.get_num_threads()} threads",
        numerator=f"DataLoader (median of {repeats})",
        denominator="slicing",
        numerator_s=loaded_s,
        denominator_s=sliced_s,
        limit=LIMIT,
        at_least=True,
    )


def describe(model: params.TorchModel, numeric: int) -> Config:
    """Return a config of the default network for `numeric` number columns and the flights' text columns."""
    arguments = {"numeric": numeric, "cardinalities": CARDINALITIES, "classes": 2, **model.hyperparameters.network}
    return Config(
        model_name=MODEL,
        task="classification",
        builder=model.builder,
        hyperparameters={},
        numeric=[],
        categorical=[],
        categories={},
        classes=[0, 1],
        network=Network(class_name=model.builder, arguments=arguments),
    )


def sliced_epoch(state: training.State, tensors: tuple[torch.Tensor, ...], settings: params.Training) -> None:
    """Train one more epoch, as the pipeline does."""
    for _ in training.steps(state, tensors, settings.model_copy(update={"epochs": len(state.history) + 1})):
        pass


def loader_epoch(state: training.State, loader: DataLoader[tuple[torch.Tensor, ...]]) -> None:
    """Do the same, but for where the batches come from."""
    state.network.train()
    for batch in loader:
        training.run_step(state, *batch)
    training.end_epoch(state, len(loader.dataset))  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="timed epochs of each")
    use_two_cores()
    print("\n".join(measure(max(1, parser.parse_args().repeats)).lines()))


if __name__ == "__main__":
    main()
