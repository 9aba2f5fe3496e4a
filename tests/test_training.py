"""pipeline.training: a training that was killed, however often, ends as if it had not been."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import REPOSITORY, SEED, THREADS, Workspace, settings

from isoform.errors import BadInput
from isoform.formats import checkpoint as checkpoint_format
from isoform.formats import full_model, state_dict
from isoform.metadata import Config
from isoform.rows import Columns
from pipeline import checkpoint as checkpoints
from pipeline import datasets, determinism, training
from pipeline.params import Training

HYPERPARAMETERS = settings("mixed")["models"]["torch"]["network"]["hyperparameters"]["training"]
PARTS = ("model_state_dict", "optimizer_state_dict", "scheduler_state_dict", "history", "rng_states/torch", "rng_states/order")


@dataclass(frozen=True)
class Task:
    """What a training consumes, and one place to run it."""

    config: Config
    columns: Columns
    targets: np.ndarray

    def start(self) -> training.State:
        determinism.seed_torch(SEED, THREADS)
        numeric = torch.from_numpy(np.stack([self.columns[name] for name in self.config.numeric], axis=1))
        return training.start(self.config, Training(**HYPERPARAMETERS), numeric, SEED)

    def run(self, scratch: Path, epochs: int, fingerprint: str = "ours", **changes: Any) -> tuple[bytes, bytes, bytes]:
        """Train, or go on, and return the files: state_dict, full model, checkpoint."""
        determinism.seed_torch(SEED, THREADS)
        hyperparameters = Training(**{**HYPERPARAMETERS, "epochs": epochs, **changes})
        network, last = training.train(
            self.columns, self.targets, self.config, hyperparameters, SEED, scratch=scratch, fingerprint=fingerprint
        )
        return state_dict.dump(network.state_dict()), full_model.dump(network), checkpoint_format.dump(last)


@pytest.fixture(scope="module")
def task(published: Callable[[str], Workspace]) -> Task:
    workspace = published("mixed")
    columns, labels = workspace.train_rows()
    return Task(workspace.config("network"), columns, datasets.class_indices(labels, workspace.schema()))


@pytest.fixture(scope="module")
def straight(task: Task, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes, bytes]:
    """The files of four epochs in one go."""
    return task.run(tmp_path_factory.mktemp("straight"), 4)


def test_the_same_training_gives_the_same_bytes(task: Task, straight: tuple[bytes, ...], tmp_path: Path) -> None:
    assert task.run(tmp_path, 4) == straight


@pytest.mark.parametrize("stops", [[1], [2], [3], [1, 2, 3]])
def test_a_resumed_training_ends_with_the_same_bytes(
    stops: list[int], task: Task, straight: tuple[bytes, ...], tmp_path: Path
) -> None:
    for epochs in stops:
        task.run(tmp_path, epochs)
    assert task.run(tmp_path, 4) == straight


@pytest.mark.parametrize("part", PARTS)
def test_without_any_part_of_its_checkpoint_it_would_not(
    part: str, task: Task, straight: tuple[bytes, ...], tmp_path: Path
) -> None:
    _, _, data = task.run(tmp_path, 2)
    checkpoint = state_dict.read(data)
    state = task.start()
    state.history.append([0.0, 0.0])
    fresh = training.capture(state, task.config, "ours")
    section, _, key = part.partition("/")
    if key:
        checkpoint[section][key] = fresh[section][key]
    else:
        checkpoint[section] = fresh[section] * 2 if part == "history" else fresh[section]
    checkpoints.save(tmp_path, checkpoint)
    assert task.run(tmp_path, 4) != straight


def test_every_part_that_training_changes_is_among_those(task: Task, tmp_path: Path) -> None:
    checkpoint = state_dict.read(task.run(tmp_path, 1)[2])
    described = {"epoch", "loss", "model_config", "fingerprint"}
    assert checkpoint.keys() == {part.split("/")[0] for part in PARTS} | described
    assert checkpoint["rng_states"].keys() == {"torch", "order"}
    assert checkpoint["epoch"] == 1
    assert checkpoint["loss"] == checkpoint["history"][-1][0]


def test_a_training_of_other_data_starts_anew(task: Task, straight: tuple[bytes, ...], tmp_path: Path) -> None:
    task.run(tmp_path, 2, fingerprint="theirs", learning_rate=0.5)
    assert task.run(tmp_path, 4) == straight


def test_a_damaged_checkpoint_costs_epochs_and_changes_nothing(task: Task, straight: tuple[bytes, ...], tmp_path: Path) -> None:
    task.run(tmp_path, 2)
    (tmp_path / "epoch-000003.checkpoint").write_bytes((tmp_path / "epoch-000002.checkpoint").read_bytes()[:-100])
    assert task.run(tmp_path, 4) == straight


def test_a_checkpoint_with_one_flipped_weight_is_not_trained_on(task: Task, straight: tuple[bytes, ...], tmp_path: Path) -> None:
    _, _, data = task.run(tmp_path, 2)
    weights = state_dict.read(data)["model_state_dict"]["net.0.weight"].numpy().tobytes()
    path = tmp_path / "epoch-000002.checkpoint"
    flipped = bytearray(path.read_bytes())
    flipped[flipped.index(weights) + 1] ^= 1
    path.write_bytes(flipped)
    assert task.run(tmp_path, 4) == straight


def test_an_ended_training_runs_again_to_the_same_bytes(task: Task, straight: tuple[bytes, ...], tmp_path: Path) -> None:
    task.run(tmp_path, 4)
    assert task.run(tmp_path, 4) == straight


def test_fewer_epochs_are_not_taken_from_a_longer_training(task: Task, straight: tuple[bytes, ...], tmp_path: Path) -> None:
    task.run(tmp_path, 6)
    assert task.run(tmp_path, 4) == straight


def test_how_often_checkpoints_are_taken_changes_no_byte(task: Task, straight: tuple[bytes, ...], tmp_path: Path) -> None:
    assert task.run(tmp_path, 4, checkpoint_every=3) == straight


def test_an_ended_training_leaves_its_last_checkpoint(task: Task, straight: tuple[bytes, ...], tmp_path: Path) -> None:
    task.run(tmp_path, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-000004.checkpoint"]
    assert (tmp_path / "epoch-000004.checkpoint").read_bytes().endswith(straight[2])


def test_a_checkpoint_that_ends_elsewhere_is_refused(task: Task, tmp_path: Path) -> None:
    checkpoint = state_dict.read(task.run(tmp_path, 2)[2])
    checkpoint["history"] = checkpoint["history"] * 3
    checkpoints.save(tmp_path, checkpoint)
    with pytest.raises(BadInput, match="holds a checkpoint that cannot be continued; remove the folder"):
        task.run(tmp_path, 4)


@pytest.mark.parametrize(
    "changes", [{"batch_size": 33}, {"learning_rate": 0.02}, {"weight_decay": 0.5}, {"learning_rate_decay": 0.5}]
)
def test_every_hyperparameter_is_used(changes: dict[str, Any], task: Task, straight: tuple[bytes, ...], tmp_path: Path) -> None:
    assert task.run(tmp_path, 4, **changes)[0] != straight[0]


def test_the_learning_rate_decays_after_each_epoch(task: Task, straight: tuple[bytes, ...]) -> None:
    rates = [rate for _, rate in state_dict.read(straight[2])["history"]]
    assert rates == pytest.approx([0.01 * 0.9**epoch for epoch in range(4)])


def test_training_lowers_the_loss(task: Task, tmp_path: Path) -> None:
    losses = [loss for loss, _ in state_dict.read(task.run(tmp_path, 8)[2])["history"]]
    assert losses[-1] < 0.8 * losses[0]
    assert np.isfinite(losses).all()


def test_every_row_is_seen_once_an_epoch_in_another_order() -> None:
    order = torch.Generator().manual_seed(SEED)
    epochs = [torch.cat(list(training.batches(10, 3, order))).tolist() for _ in range(2)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 2
    assert epochs[0] != epochs[1]


def test_the_network_starts_with_the_statistics_of_its_rows(task: Task) -> None:
    normalize = task.start().network.get_submodule("normalize")
    for i, name in enumerate(task.config.numeric):
        assert float(normalize.fill[i]) == np.float32(np.nanmedian(task.columns[name].astype(np.float64)))


def kill_midway(workspace: Workspace) -> int:
    """Start the stage in a process of its own, kill it in some epoch after the second, and return that epoch."""
    scratch = workspace.root / ".scratch" / "network"
    stage = subprocess.Popen(
        [sys.executable, "-m", "stages.train_torch", "network"],
        cwd=workspace.root,
        env={"PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not (scratch / "epoch-000003.checkpoint").exists() and time.monotonic() < deadline and stage.poll() is None:
        time.sleep(0.001)
    stage.send_signal(signal.SIGKILL)
    assert stage.wait() == -signal.SIGKILL
    return max(int(path.stem.removeprefix("epoch-")) for path in scratch.glob("epoch-*.checkpoint"))


def set_epochs(workspace: Workspace, epochs: int, change: Callable[[Any], object] = lambda content: None) -> None:
    content = settings("mixed")
    content["models"]["torch"]["network"]["hyperparameters"]["training"]["epochs"] = epochs
    change(content)
    workspace.write_params(content)


def hyperparameters(content: Any) -> Any:
    return content["models"]["torch"]["network"]["hyperparameters"]


CHANGES: dict[str, Callable[[Any], object]] = {
    "seed": lambda content: content.update(seed=SEED + 1),
    "threads": lambda content: content.update(threads=THREADS + 1),
    "dropout": lambda content: hyperparameters(content)["network"].update(dropout=0.1),
    "hidden": lambda content: hyperparameters(content)["network"].update(hidden=9),
    "batch_size": lambda content: hyperparameters(content)["training"].update(batch_size=31),
    "learning_rate": lambda content: hyperparameters(content)["training"].update(learning_rate=0.02),
    "weight_decay": lambda content: hyperparameters(content)["training"].update(weight_decay=0.5),
    "learning_rate_decay": lambda content: hyperparameters(content)["training"].update(learning_rate_decay=0.5),
    "the split": lambda content: content["data"].update(test_share=0.3),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_training_depends_on_keeps_old_checkpoints_out(change: str, workspace: Workspace, caplog: Any) -> None:
    set_epochs(workspace, 3, CHANGES[change])
    workspace.prepare()
    with caplog.at_level("INFO"):
        workspace.train("network")
    assert "epoch-000002.checkpoint is from other data, parameters, code or libraries: not used" in caplog.text
    assert "epoch 1 of 3" in caplog.text


def test_more_epochs_and_rarer_checkpoints_go_on(workspace: Workspace, caplog: Any) -> None:
    set_epochs(workspace, 3, lambda content: hyperparameters(content)["training"].update(checkpoint_every=3))
    with caplog.at_level("INFO"):
        workspace.train("network")
    assert "resumed after epoch 2 of 3" in caplog.text


def test_a_killed_process_is_gone_on_from(workspace: Workspace, published: Callable[[str], Workspace], caplog: Any) -> None:
    set_epochs(workspace, 100_000)
    (workspace.root / ".scratch" / "network" / "epoch-000002.checkpoint").unlink()
    epoch = kill_midway(workspace)
    set_epochs(workspace, epoch + 2)
    names = ("model.pt", "model_full.pt", "checkpoint.pt", "history.csv")
    files = []
    for _ in range(2):
        caplog.clear()
        with caplog.at_level("INFO"):
            workspace.train("network")
        files.append([(workspace.folder("network") / name).read_bytes() for name in names])
        assert (f"resumed after epoch {epoch} of {epoch + 2}" in caplog.text) == (len(files) == 1)
        for path in (workspace.root / ".scratch" / "network").iterdir():
            path.unlink()
    assert files[0] == files[1]
