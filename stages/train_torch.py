"""Train a network; a killed training goes on from its newest checkpoint.

Reads   data/prepared/train.parquet, schema.json
Writes  model.pt, model_full.pt, checkpoint.pt and history.csv in the model's version folder
Run     python -m stages.train_torch simple_classifier
"""

import dataclasses
import logging

import torch

from isoform.formats import FORMATS, checkpoint, full_model, state_dict
from isoform.integrity import write_atomic
from pipeline import checkpoint as checkpoints
from pipeline import configs, datasets, determinism, environment, layout, params, training
from pipeline.params import TorchModel
from stages import run

log = logging.getLogger(__name__)


def train(name: str, settings: params.Params) -> tuple[torch.nn.Module, checkpoints.Checkpoint]:
    """Return the network trained on the training rows, and the last checkpoint."""
    determinism.seed_torch(settings.seed, settings.threads, settings.device)
    model: TorchModel = settings.model("torch", name)
    schema = datasets.read_schema()
    columns, labels = datasets.read_train(schema)
    config = configs.describe(name, model, schema)
    hyperparameters = model.hyperparameters.training
    origin = checkpoints.origin(
        train_sha256=schema.train_sha256,
        config=dataclasses.asdict(dataclasses.replace(config, hyperparameters={})),
        training=hyperparameters.model_dump(exclude={"epochs", "checkpoint_every_steps"}),
        seed=settings.seed,
        threads=settings.threads,
        platform=environment.description(settings.reproducibility, settings.device),
    )
    return training.train(
        columns,
        datasets.targets(labels, schema),
        config,
        hyperparameters,
        settings.seed,
        scratch=layout.SCRATCH / name,
        origin=origin,
        device=settings.device,
    )


def main(name: str) -> None:
    """Train and save the model `name`; raises `BadInput` for arguments that its network refuses, or no such device."""
    settings = params.load()
    folder = layout.version_dir(name, settings.model("torch", name).version)
    network, last = train(name, settings)
    write_atomic(folder / FORMATS["state_dict"].filename, state_dict.dump(network.state_dict()))
    write_atomic(folder / FORMATS["full_model"].filename, full_model.dump(network))
    write_atomic(folder / FORMATS["checkpoint"].filename, checkpoint.dump(last))
    lines = [f"{epoch},{loss:.6f},{rate:.6g}" for epoch, (loss, rate) in enumerate(last["history"], start=1)]
    write_atomic(folder / "history.csv", "\n".join(["epoch,loss,learning_rate", *lines]) + "\n")
    checkpoints.end(layout.SCRATCH / name)


if __name__ == "__main__":
    run(main, __doc__, "name")
