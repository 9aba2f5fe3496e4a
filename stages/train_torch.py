"""Train a network; a killed training goes on from its newest checkpoint.

Reads   data/prepared/train.parquet, schema.json
Writes  model.pt, model_full.pt, checkpoint.pt, history.csv and their hashes, train.sha256, in the model's version folder
Run     python -m stages.train_torch simple_classifier
"""

import dataclasses
import logging

import torch

from isoform.formats import FORMATS, checkpoint, full_model, state_dict
from pipeline import checkpoint as checkpoints
from pipeline import configs, datasets, determinism, environment, layout, params, records, training
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
    contents = {
        "state_dict": state_dict.dump(network.state_dict()),
        "full_model": full_model.dump(network),
        "checkpoint": checkpoint.dump(last),
    }
    lines = [f"{epoch},{loss:.6f},{rate:.6g}" for epoch, (loss, rate) in enumerate(last["history"], start=1)]
    history = "\n".join(["epoch,loss,learning_rate", *lines]) + "\n"
    files = {FORMATS[entry].filename: data for entry, data in contents.items()}
    records.write(folder, "train", {**files, "history.csv": history.encode()})
    checkpoints.end(layout.SCRATCH / name)


if __name__ == "__main__":
    run(main, __doc__, "name")
