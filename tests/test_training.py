"""pipeline.training: a training that was killed, however often, ends as if it had not been."""

import dataclasses
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

from isoform import networks
from isoform.errors import BadInput
from isoform.formats import checkpoint as checkpoint_format
from isoform.formats import full_model, state_dict
from isoform.metadata import Config, Network
from isoform.rows import Columns
from pipeline import checkpoint as checkpoints
from pipeline import datasets, determinism, training
from pipeline.params import Training

HYPERPARAMETERS = settings("mixed")["models"]["torch"]["network"]["hyperparameters"]["training"]
PARTS = (
    "model_state_dict",
    "optimizer_state_dict",
    "scheduler_state_dict",
    "history",
    "epoch_loss_sum",
    "rng_states/torch",
    "rng_states/order",
)
EPOCH = 8
"""Steps in an epoch: 240 rows in batches of 32."""


@dataclass(frozen=True)
class Task:
    """What a training consumes, and one place to run it."""

    config: Config
    columns: Columns
    targets: np.ndarray

    def start(self) -> training.State:
        determinism.seed_torch(SEED, THREADS)
        numeric = torch.from_numpy(np.stack([self.columns[name] for name in self.config.numeric], axis=1))
        return training.start(self.config, Training(**HYPERPARAMETERS), numeric, self.targets, SEED)

    def run(self, scratch: Path, epochs: int, origin: str = "ours", **changes: Any) -> tuple[bytes, bytes, bytes]:
        """Train, or go on, and return the files: state_dict, full model, checkpoint."""
        determinism.seed_torch(SEED, THREADS)
        hyperparameters = Training(**{**HYPERPARAMETERS, "epochs": epochs, **changes})
        network, last = training.train(
            self.columns, self.targets, self.config, hyperparameters, SEED, scratch=scratch, origin={"of": origin}
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


class Killed(Exception):
    """What stops a training in these tests; nothing catches it."""


def stop_at(task: Task, scratch: Path, step: int, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Train for four epochs, and be killed after `step` steps."""

    def killed(state: training.State, *tensors: torch.Tensor) -> None:
        if state.step == step:
            raise Killed
        run_step(state, *tensors)

    run_step = training.run_step
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(training, "run_step", killed)
        task.run(scratch, 4, **changes)


@pytest.mark.parametrize("stops", [[1], [2], [3], [1, 2, 3]])
def test_a_training_of_more_epochs_goes_on_and_ends_with_the_same_bytes(
    stops: list[int], task: Task, straight: tuple[bytes, ...], tmp_path: Path, caplog: Any
) -> None:
    with caplog.at_level("INFO"):
        for epochs in stops:
            task.run(tmp_path, epochs)
        assert task.run(tmp_path, 4) == straight
    assert f"resumed at step {stops[-1] * EPOCH} of 32 (epoch {stops[-1] + 1} of 4), loss" in caplog.text


@pytest.mark.parametrize(("every", "killed_at", "resumed_at"), [(1, 13, 13), (3, 13, 12), (5, 31, 30), (8, 17, 16), (3, 7, 6)])
def test_a_training_killed_within_an_epoch_ends_with_the_same_bytes(
    every: int,
    killed_at: int,
    resumed_at: int,
    task: Task,
    straight: tuple[bytes, ...],
    tmp_path: Path,
    caplog: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stop_at(task, tmp_path, killed_at, monkeypatch, checkpoint_every_steps=every)
    with caplog.at_level("INFO"):
        assert task.run(tmp_path, 4, checkpoint_every_steps=every) == straight
    assert f"resumed at step {resumed_at} of 32 (epoch {resumed_at // EPOCH + 1} of 4)" in caplog.text


def test_a_training_killed_before_its_first_checkpoint_starts_afresh(
    task: Task, straight: tuple[bytes, ...], tmp_path: Path, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(task, tmp_path, 7, monkeypatch)
    with caplog.at_level("INFO"):
        assert task.run(tmp_path, 4) == straight
    assert "resumed" not in caplog.text


def test_a_training_killed_between_its_last_checkpoint_and_its_outputs_trains_no_more(
    task: Task, straight: tuple[bytes, ...], tmp_path: Path, caplog: Any
) -> None:
    task.run(tmp_path, 4)
    with caplog.at_level("INFO"):
        assert task.run(tmp_path, 4) == straight
    assert "resumed at step 32 of 32 (epoch 4 of 4)" in caplog.text
    assert "epoch 4 of 4: loss" not in caplog.text


@pytest.mark.parametrize("part", PARTS)
def test_dropping_any_part_of_a_checkpoint_changes_the_result(
    part: str, task: Task, straight: tuple[bytes, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(task, tmp_path, 21, monkeypatch, checkpoint_every_steps=3)
    checkpoint = checkpoints.latest(tmp_path, {"of": "ours"}, 32)
    assert checkpoint is not None
    assert checkpoint["step"] == 21
    fresh = training.capture(task.start(), task.config, 32)
    section, _, key = part.partition("/")
    if key:
        checkpoint[section][key] = fresh[section][key]
    elif section == "history":  # none at all does not go with the step
        checkpoint[section] = [[0.0, 0.0] for _ in checkpoint[section]]
    else:
        checkpoint[section] = fresh[section]
    checkpoints.save(tmp_path, checkpoint, {"of": "ours"})
    assert task.run(tmp_path, 4) != straight


def test_every_part_that_training_changes_is_among_those(task: Task, tmp_path: Path) -> None:
    checkpoint = state_dict.read(task.run(tmp_path, 1)[2])
    described = {"epoch", "step", "loss", "model_config"}
    assert checkpoint.keys() == {part.split("/")[0] for part in PARTS} | described
    assert checkpoint["rng_states"].keys() == {"torch", "order"}
    assert (checkpoint["epoch"], checkpoint["step"]) == (1, EPOCH)
    assert checkpoint["loss"] == checkpoint["history"][-1][0]


def test_a_training_of_other_data_starts_anew(task: Task, straight: tuple[bytes, ...], tmp_path: Path) -> None:
    task.run(tmp_path, 2, origin="theirs", learning_rate=0.5)
    assert task.run(tmp_path, 4) == straight


def test_a_damaged_checkpoint_costs_epochs_and_changes_nothing(task: Task, straight: tuple[bytes, ...], tmp_path: Path) -> None:
    task.run(tmp_path, 2)
    (tmp_path / "step-000000024.checkpoint").write_bytes((tmp_path / "step-000000016.checkpoint").read_bytes()[:-100])
    assert task.run(tmp_path, 4) == straight


def test_a_checkpoint_with_one_flipped_weight_is_not_trained_on(task: Task, straight: tuple[bytes, ...], tmp_path: Path) -> None:
    _, _, data = task.run(tmp_path, 2)
    weights = state_dict.read(data)["model_state_dict"]["net.0.weight"].numpy().tobytes()
    path = tmp_path / "step-000000016.checkpoint"
    flipped = bytearray(path.read_bytes())
    flipped[flipped.index(weights) + 1] ^= 1
    path.write_bytes(flipped)
    assert task.run(tmp_path, 4) == straight


def test_an_ended_training_runs_again_to_the_same_bytes(
    task: Task, straight: tuple[bytes, ...], tmp_path: Path, caplog: Any
) -> None:
    task.run(tmp_path, 4)
    checkpoints.end(tmp_path)
    with caplog.at_level("INFO"):
        assert task.run(tmp_path, 4) == straight
    assert "resumed" not in caplog.text


def test_fewer_epochs_are_not_taken_from_a_longer_training(task: Task, straight: tuple[bytes, ...], tmp_path: Path) -> None:
    task.run(tmp_path, 6)
    assert task.run(tmp_path, 4) == straight


def test_how_often_checkpoints_are_taken_changes_no_byte(task: Task, straight: tuple[bytes, ...], tmp_path: Path) -> None:
    assert task.run(tmp_path, 4, checkpoint_every_steps=3) == straight


def test_an_ended_training_leaves_its_last_checkpoint(task: Task, straight: tuple[bytes, ...], tmp_path: Path) -> None:
    task.run(tmp_path, 4)
    checkpoints.end(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["ended-000000032.checkpoint"]
    last = checkpoints.latest(tmp_path, {"of": "ours"}, 99)
    assert last is not None
    assert checkpoint_format.dump(last) == straight[2]


def test_a_checkpoint_that_ends_elsewhere_is_refused(task: Task, tmp_path: Path) -> None:
    checkpoint = state_dict.read(task.run(tmp_path, 2)[2])
    checkpoint["history"] = checkpoint["history"] * 3
    checkpoints.save(tmp_path, checkpoint, {"of": "ours"})
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


def test_every_row_is_seen_once_an_epoch_in_another_order(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []

    def run_step(state: training.State, rows: torch.Tensor) -> None:
        if state.step % 4 == 0:
            seen.append([])
        seen[-1] += rows.tolist()
        state.optimizer.step()
        state.step += 1

    monkeypatch.setattr(training, "run_step", run_step)
    hyperparameters = Training(**{**HYPERPARAMETERS, "batch_size": 3, "epochs": 2})
    assert list(training.steps(task.start(), (torch.arange(10),), hyperparameters)) == list(range(1, 9))
    assert [sorted(epoch) for epoch in seen] == [list(range(10))] * 2
    assert seen[0] != seen[1]


def test_the_network_starts_with_the_statistics_of_its_rows(task: Task) -> None:
    normalize = task.start().network.get_submodule("features.normalize")
    for i, name in enumerate(task.config.numeric):
        assert float(normalize.fill[i]) == np.float32(np.nanmedian(task.columns[name].astype(np.float64)))


def kill_midway(workspace: Workspace) -> int:
    """Start the stage in a process of its own, kill it after its second checkpoint, and return the step of its newest."""
    scratch = workspace.root / ".scratch" / "network"
    stage = subprocess.Popen(
        [sys.executable, "-m", "stages.train_torch", "network"],
        cwd=workspace.root,
        env={"PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while len(list(scratch.glob("step-*.checkpoint"))) < 2 and time.monotonic() < deadline and stage.poll() is None:
        time.sleep(0.001)
    stage.send_signal(signal.SIGKILL)
    assert stage.wait() == -signal.SIGKILL
    return max(int(path.stem.removeprefix("step-")) for path in scratch.glob("step-*.checkpoint"))


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
    "reproducibility": lambda content: content.update(reproducibility="machine"),
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
    assert "ended-000000016.checkpoint is of another training (" in caplog.text
    assert "training starts afresh" in caplog.text
    assert "epoch 1 of 3" in caplog.text


def test_more_epochs_and_rarer_checkpoints_go_on(workspace: Workspace, caplog: Any) -> None:
    set_epochs(workspace, 3, lambda content: hyperparameters(content)["training"].update(checkpoint_every_steps=3))
    with caplog.at_level("INFO"):
        workspace.train("network")
    assert "resumed at step 16 of 24 (epoch 3 of 3)" in caplog.text


def test_a_killed_process_is_gone_on_from(workspace: Workspace, published: Callable[[str], Workspace], caplog: Any) -> None:
    often = lambda content: hyperparameters(content)["training"].update(checkpoint_every_steps=3)  # noqa: E731
    set_epochs(workspace, 100_000, often)
    scratch = workspace.root / ".scratch" / "network"
    next(scratch.iterdir()).unlink()
    step = kill_midway(workspace)
    epochs = step // EPOCH + 2
    set_epochs(workspace, epochs, often)
    names = ("model.pt", "model_full.pt", "checkpoint.pt", "history.csv")
    files = []
    for _ in range(2):
        caplog.clear()
        with caplog.at_level("INFO"):
            workspace.train("network")
        files.append([(workspace.folder("network") / name).read_bytes() for name in names])
        assert (f"resumed at step {step} of {epochs * EPOCH} (epoch {epochs - 1} of {epochs})" in caplog.text) == (
            len(files) == 1
        )
        assert [path.name for path in scratch.iterdir()] == [f"ended-{epochs * EPOCH:09d}.checkpoint"]
    assert files[0] == files[1]


def numeric_target(task: Task) -> Task:
    """Return the same rows with a number to predict: a hundred times the first column, far from zero."""
    first = np.nan_to_num(task.columns[task.config.numeric[0]].astype(np.float64))
    assert task.config.network is not None
    arguments = {key: value for key, value in task.config.network.arguments.items() if key != "classes"}
    network = Network(class_name="SimpleRegressor", arguments=arguments)
    config = dataclasses.replace(task.config, task="regression", builder="SimpleRegressor", classes=[], network=network)
    return Task(config, task.columns, 1000 + 100 * first)


def test_a_regression_learns_and_its_loss_starts_near_the_variance(task: Task, tmp_path: Path) -> None:
    asked = numeric_target(task)
    determinism.seed_torch(SEED, THREADS)
    hyperparameters = Training(**{**HYPERPARAMETERS, "epochs": 40})
    network, last = training.train(
        asked.columns, asked.targets, asked.config, hyperparameters, SEED, scratch=tmp_path, origin={"of": "a test"}
    )
    losses = [loss for loss, _ in last["history"]]
    assert 0.5 < losses[0] < 2
    assert losses[-1] < losses[0] / 2
    found = networks.infer(network, asked.columns, asked.config)[:, 0]
    assert np.corrcoef(found, asked.targets)[0, 1] > 0.8
    assert abs(found.mean() - asked.targets.mean()) < 20


def test_always_the_mean_has_a_loss_of_one() -> None:
    targets = np.array([1.0, 2.0, 6.0])
    loss = training.squared_error(targets)(torch.full((3, 1), 3.0), torch.tensor(targets, dtype=torch.float32))
    assert loss.item() == pytest.approx(1)


def test_a_network_of_the_other_task_is_refused(task: Task) -> None:
    config = dataclasses.replace(task.config, task="regression")
    with pytest.raises(BadInput, match=r"params\.yaml: SimpleClassifier is for classification, data\.task is regression"):
        dataclasses.replace(task, config=config).start()
