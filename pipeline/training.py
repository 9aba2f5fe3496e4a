"""Train a network: seeded, deterministic, resumable at any step.

Shapes: N rows, B rows of a batch, F numeric columns, C text columns, K classes.
"""

import copy
import logging
import math
import sys
from collections.abc import Callable, Iterator
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
from pipeline.checkpoint import Checkpoint, Origin
from pipeline.params import Training
from pipeline.progress import progress

log = logging.getLogger(__name__)

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass
class State:
    """Everything that a step changes."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    order: torch.Generator
    """Draws the order of the rows, once an epoch; dropout draws from torch's global generator."""
    epoch_order: torch.Tensor
    """The state of `order` when the epoch in progress began: drawing again gives the same rows."""
    epoch_loss_sum: torch.Tensor
    """Loss of the epoch in progress, summed over its rows so far; float64, 0-dimensional."""
    step: int
    """Steps of the optimizer, over all epochs."""
    history: list[list[float]]
    """Per ended epoch: mean loss, learning rate."""
    loss: Loss
    """Of a batch: what the network gives, float32 [B, K], and int64 or float32 [B] targets → 0-dimensional mean."""


def train(
    columns: Columns,
    targets: np.ndarray,
    config: Config,
    training: Training,
    seed: int,
    *,
    scratch: Path,
    origin: Origin,
    device: str = "cpu",
) -> tuple[nn.Module, Checkpoint]:
    """Train the network of `config` on canonical rows and targets [N]: int64 class indices, or float64 numbers.

    Goes on from the newest usable checkpoint in `scratch`. Returns the network, on the CPU and in `eval()`, and the
    last checkpoint.
    """
    numeric, categories = networks.to_tensors(columns, config)
    wanted = targets.astype(np.int64 if config.task == "classification" else np.float32)
    state = start(config, training, numeric, wanted, seed, device)
    tensors = numeric.to(device), categories.to(device), torch.from_numpy(wanted).to(device)
    epoch_steps = math.ceil(len(targets) / training.batch_size)
    last_step = training.epochs * epoch_steps
    last = checkpoints.latest(scratch, origin, last_step)
    if last:
        restore(state, last)
        if len(state.history) != state.step // epoch_steps:
            raise BadInput(scratch, "holds a checkpoint that cannot be continued", "remove the folder")
        at = f"epoch {min(len(state.history) + 1, training.epochs)} of {training.epochs}"
        log.info("resumed at step %d of %d (%s), loss %.4f", state.step, last_step, at, last["loss"])
    for step in progress(steps(state, tensors, training), "step", total=last_step, done=state.step):
        if step % training.checkpoint_every_steps == 0 or step == last_step:
            last = capture(state, config, training.batch_size)
            checkpoints.save(scratch, last, origin)
    assert last is not None  # there is at least one step, or a checkpoint of the last
    return state.network.cpu().eval(), last


def start(
    config: Config, training: Training, numeric: torch.Tensor, targets: np.ndarray, seed: int, device: str = "cpu"
) -> State:
    """Return a network with the statistics of float32 [N, F] and targets [N] and fresh weights, ready for its first step.

    Raises `BadInput` when the network is made for another task.
    """
    network: Any = networks.build(config.network)
    if network.task != config.task:
        action = "choose another builder, or another data.task"
        raise BadInput("params.yaml", f"{type(network).__name__} is for {network.task}, data.task is {config.task}", action)
    network.fit_statistics(numeric.numpy(), targets)
    network.to(device)
    # The unfused AdamW takes MKL's vector square root, whose bits depend on the CPU.
    optimizer = torch.optim.AdamW(network.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay, fused=True)
    # The schedule does not know the last epoch: training can be continued past it and equal a longer run.
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=training.learning_rate_decay)
    order = torch.Generator().manual_seed(seed)
    loss = nn.functional.cross_entropy if config.task == "classification" else squared_error(targets)
    return State(network, optimizer, scheduler, order, order.get_state(), torch.zeros((), dtype=torch.float64), 0, [], loss)


def squared_error(targets: np.ndarray) -> Loss:
    """Return the mean squared error as a share of the variance of the training targets [N]: 1 is no better than their mean."""
    deviation = networks.deviation(targets.astype(np.float64))
    return lambda output, wanted: nn.functional.mse_loss(output[:, 0] / deviation, wanted / deviation)


def steps(state: State, tensors: tuple[torch.Tensor, ...], training: Training) -> Iterator[int]:
    """Train from where `state` stands to the last epoch; yield the number of each step when all of it is done."""
    state.network.train()
    rows = len(tensors[0])
    while len(state.history) < training.epochs:
        # Indexing whole tensors with shuffled row numbers is what a DataLoader is slow at.
        shuffled = torch.randperm(rows, generator=state.order).to(tensors[0].device)
        done = state.step % math.ceil(rows / training.batch_size) * training.batch_size
        for begin in range(done, rows, training.batch_size):
            run_step(state, *(tensor[shuffled[begin : begin + training.batch_size]] for tensor in tensors))
            if begin + training.batch_size >= rows:
                end_epoch(state, rows)
                log.info("epoch %d of %d: loss %.4f", len(state.history), training.epochs, state.history[-1][0])
            yield state.step


def run_step(state: State, numeric: torch.Tensor, categories: torch.Tensor, targets: torch.Tensor) -> None:
    """Train on one batch: float32 [B, F], int64 [B, C] and targets [B]."""
    loss = state.loss(state.network(numeric, categories), targets)
    state.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    state.optimizer.step()
    state.epoch_loss_sum += loss.detach().cpu().double() * len(targets)
    state.step += 1


def end_epoch(state: State, rows: int) -> None:
    """Note the epoch's mean loss and its learning rate, and set the scheduler to the next."""
    state.history.append([state.epoch_loss_sum.item() / rows, state.optimizer.param_groups[0]["lr"]])
    state.scheduler.step()
    state.epoch_loss_sum.zero_()
    state.epoch_order = state.order.get_state()


def capture(state: State, config: Config, batch_size: int) -> Checkpoint:
    """Return all that `restore` needs, and what describes it; tensors on the CPU, wherever training runs."""
    cuda = {"cuda": torch.cuda.get_rng_state()} if next(state.network.parameters()).is_cuda else {}
    epoch = len(state.history)
    checkpoint = {
        "epoch": epoch,
        "step": state.step,
        "model_state_dict": state.network.state_dict(),
        "optimizer_state_dict": state.optimizer.state_dict(),
        "scheduler_state_dict": state.scheduler.state_dict(),
        "loss": state.history[-1][0] if epoch else state.epoch_loss_sum.item() / (max(state.step, 1) * batch_size),
        "history": state.history,
        "epoch_loss_sum": state.epoch_loss_sum,
        "rng_states": {"torch": torch.get_rng_state(), "order": state.epoch_order, **cuda},
        "model_config": config.network.arguments if config.network else {},
    }
    settled: Checkpoint = settle(checkpoint)
    return settled


def settle(content: Any) -> Any:
    """Return nested dicts and lists whose bytes depend on their values alone.

    Tensors are on the CPU. Texts are interned: pickle writes a text that it has seen as a reference, and goes by
    the object, so that a text read from a checkpoint would be written otherwise than the same text in the code.
    """
    if isinstance(content, torch.Tensor):
        return content.cpu()
    if isinstance(content, str):
        return sys.intern(content)
    if isinstance(content, dict):
        settled = copy.copy(content)  # a state_dict has attributes
        settled.clear()
        settled.update({settle(key): settle(value) for key, value in content.items()})
        return settled
    return [settle(item) for item in content] if isinstance(content, list) else content


def restore(state: State, checkpoint: dict[str, Any]) -> None:
    """Set `state`, and torch's global generators, to where `checkpoint` was captured."""
    state.network.load_state_dict(checkpoint["model_state_dict"])
    state.optimizer.load_state_dict(checkpoint["optimizer_state_dict"])
    state.scheduler.load_state_dict(checkpoint["scheduler_state_dict"])
    state.history[:] = [list(entry) for entry in checkpoint["history"]]
    state.step = checkpoint["step"]
    state.epoch_loss_sum = checkpoint["epoch_loss_sum"].clone()
    state.epoch_order = checkpoint["rng_states"]["order"]
    state.order.set_state(state.epoch_order)
    torch.set_rng_state(checkpoint["rng_states"]["torch"])
    if "cuda" in checkpoint["rng_states"]:
        torch.cuda.set_rng_state(checkpoint["rng_states"]["cuda"])
