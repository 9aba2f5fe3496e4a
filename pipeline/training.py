"""Train a network: seeded, deterministic, resumable.

Shapes: N rows, F numeric columns, C text columns, K classes.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from isoform import networks
from isoform.errors import BadInput
from isoform.metadata import Config
from isoform.rows import Columns
from pipeline import checkpoint as checkpoints
from pipeline.checkpoint import Checkpoint
from pipeline.params import Training
from pipeline.progress import progress

log = logging.getLogger(__name__)


@dataclass
class State:
    """Everything that an epoch changes."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    order: torch.Generator
    """Draws the order of the rows; dropout draws from torch's global generator."""
    history: list[list[float]]
    """Per epoch: mean loss, learning rate."""


def train(
    columns: Columns, targets: np.ndarray, config: Config, training: Training, seed: int, *, scratch: Path, fingerprint: str
) -> tuple[nn.Module, Checkpoint]:
    """Train the network of `config` on canonical rows and int64 [N] class indices.

    Goes on from the newest usable checkpoint in `scratch`. Returns the network in `eval()` and the last checkpoint.
    """
    numeric, categories = networks.to_tensors(columns, config)
    labels = torch.from_numpy(targets)
    state = start(config, training, numeric, seed)
    last = checkpoints.latest(scratch, fingerprint, before_epoch=training.epochs)
    if last:
        restore(state, last)
        log.info("resumed after epoch %d of %d, loss %.4f", last["epoch"], training.epochs, last["loss"])
    done = len(state.history)
    for epoch in progress(range(done + 1, training.epochs + 1), "epoch", total=training.epochs, done=done):
        learning_rate = state.optimizer.param_groups[0]["lr"]
        loss = run_epoch(state, numeric, categories, labels, training.batch_size)
        state.scheduler.step()
        state.history.append([loss, learning_rate])
        log.info("epoch %d of %d: loss %.4f", epoch, training.epochs, loss)
        if epoch % training.checkpoint_every == 0 or epoch == training.epochs:
            last = capture(state, config, fingerprint)
            checkpoints.save(scratch, last)
    if last is None or last["epoch"] != training.epochs:
        raise BadInput(scratch, "holds a checkpoint that cannot be continued", "remove the folder")
    checkpoints.keep_last(scratch)
    return state.network.eval(), last


def start(config: Config, training: Training, numeric: torch.Tensor, seed: int) -> State:
    """Return a network with the statistics of float32 [N, F] and fresh weights, ready for its first epoch."""
    network = networks.build(config.network)
    network.get_submodule("normalize").fit(numeric.numpy())  # type: ignore[operator]
    # The unfused AdamW takes MKL's vector square root, whose bits depend on the CPU.
    optimizer = torch.optim.AdamW(network.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay, fused=True)
    # The schedule does not know the last epoch: training can be continued past it and equal a longer run.
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=training.learning_rate_decay)
    return State(network, optimizer, scheduler, torch.Generator().manual_seed(seed), [])


def run_epoch(state: State, numeric: torch.Tensor, categories: torch.Tensor, labels: torch.Tensor, batch_size: int) -> float:
    """Train on every row once, in random order, and return the mean loss."""
    state.network.train()
    total = torch.zeros((), dtype=torch.float64)
    for rows in batches(len(labels), batch_size, state.order):
        logits = state.network(numeric[rows], categories[rows])
        loss = nn.functional.cross_entropy(logits, labels[rows])
        state.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        state.optimizer.step()
        total += loss.detach().double() * len(rows)
    return total.item() / len(labels)


def batches(rows: int, batch_size: int, order: torch.Generator) -> Iterator[torch.Tensor]:
    """Yield int64 row numbers, each row once; indexing whole tensors with them is what a DataLoader is slow at."""
    shuffled = torch.randperm(rows, generator=order)
    yield from (shuffled[start : start + batch_size] for start in range(0, rows, batch_size))


def capture(state: State, config: Config, fingerprint: str) -> Checkpoint:
    """Return all that `restore` needs, and what describes it."""
    return {
        "epoch": len(state.history),
        "model_state_dict": state.network.state_dict(),
        "optimizer_state_dict": state.optimizer.state_dict(),
        "scheduler_state_dict": state.scheduler.state_dict(),
        "loss": state.history[-1][0],
        "history": [list(entry) for entry in state.history],
        "rng_states": {"torch": torch.get_rng_state(), "order": state.order.get_state()},
        "model_config": config.network.arguments if config.network else {},
        "fingerprint": fingerprint,
    }


def restore(state: State, checkpoint: dict[str, Any]) -> None:
    """Set `state`, and torch's global generator, to where `checkpoint` was captured."""
    state.network.load_state_dict(checkpoint["model_state_dict"])
    state.optimizer.load_state_dict(checkpoint["optimizer_state_dict"])
    state.scheduler.load_state_dict(checkpoint["scheduler_state_dict"])
    state.history[:] = [list(entry) for entry in checkpoint["history"]]
    state.order.set_state(checkpoint["rng_states"]["order"])
    torch.set_rng_state(checkpoint["rng_states"]["torch"])
