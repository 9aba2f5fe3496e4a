"""isoform.networks: a network takes raw numbers and category indices, whatever their size."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from builders import Workspace
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from isoform import networks
from isoform.errors import BadInput, Refused
from isoform.metadata import Config, Network
from isoform.networks import Normalize, SimpleClassifier, SimpleRegressor, build, rebuild, to_tensors

ARGUMENTS = {"numeric": 3, "cardinalities": [2, 4], "classes": 2, "hidden": 5, "embedding": 2, "dropout": 0.5}
NETWORK = Network(class_name="SimpleClassifier", arguments=ARGUMENTS)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Draw the same fresh weights in every run."""
    torch.manual_seed(0)


def fitted(values: list[list[float]]) -> Normalize:
    numeric = np.array(values, dtype=np.float32)
    normalize = Normalize(numeric.shape[1])
    normalize.fit(numeric)
    return normalize


def test_missing_numbers_get_the_median_and_all_are_standardised() -> None:
    found = fitted([[1, 10], [2, np.nan], [6, 30], [np.nan, 30]])
    filled = np.array([[1, 10], [2, 30], [6, 30], [2, 30]], dtype=np.float64)
    assert found.fill.tolist() == [2, 30]
    np.testing.assert_allclose(found.mean, filled.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found.deviation, filled.std(axis=0), rtol=1e-6)
    expected = (filled - filled.mean(axis=0)) / filled.std(axis=0)
    raw = torch.tensor([[1, 10], [2, np.nan], [6, 30], [np.nan, 30]])
    np.testing.assert_allclose(found(raw), expected, rtol=1e-5)


def test_a_constant_column_and_an_empty_one_stay_finite() -> None:
    found = fitted([[5, np.nan], [5, np.nan]])
    assert found.deviation.tolist() == [1, 1]
    assert found(torch.tensor([[5.0, np.nan], [6.0, 1.0]])).tolist() == [[0, 0], [1, 1]]


def test_the_order_of_rows_does_not_change_the_statistics() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(1e4, 1, size=(1000, 1)).astype(np.float32)
    states = [fitted(part).state_dict() for part in (values, values[::-1], rng.permutation(values))]
    for state in states[1:]:
        for name, tensor in states[0].items():
            assert state[name].equal(tensor), name


@given(st.floats(width=32, allow_nan=True), st.floats(2**-100, 2**100, width=32))
def test_no_number_leaves_the_limits(value: float, scale: float) -> None:
    normalize = Normalize(1)
    normalize.deviation[0] = scale
    found = normalize(torch.tensor([[value]]))
    assert torch.isfinite(found).all()
    assert found.abs().max() <= Normalize.LIMIT


def test_the_largest_numbers_do_not_overflow_the_network() -> None:
    network = build(NETWORK).eval()
    with torch.no_grad():
        logits = network(torch.tensor([[3e38, -3e38, np.nan]]), torch.zeros(1, 2, dtype=torch.int64))
    assert torch.isfinite(logits).all()
    assert logits.abs().max() < 1000


def test_the_statistics_travel_in_the_state_dict() -> None:
    assert {"features.normalize.fill", "features.normalize.mean", "features.normalize.deviation"} <= build(
        NETWORK
    ).state_dict().keys()


def test_an_unknown_category_is_the_zero_vector_and_training_leaves_it() -> None:
    network = SimpleClassifier(**ARGUMENTS | {"hidden": 64})  # type: ignore[arg-type]
    loss = network(torch.ones(4, 3), torch.tensor([[0, 0], [0, 1], [1, 0], [2, 4]])).sum()
    loss.backward()
    for embedding in network.features.embeddings:
        assert not embedding.weight[0].any()
        assert not embedding.weight.grad[0].any()
        assert embedding.weight.grad[1].any()


def test_dropout_works_in_training_and_is_off_in_eval() -> None:
    network, row = build(NETWORK), (torch.ones(1, 3), torch.ones(1, 2, dtype=torch.int64))
    torch.manual_seed(0)
    assert len({tuple(network.train()(*row)[0].tolist()) for _ in range(10)}) > 1
    assert len({tuple(network.eval()(*row)[0].tolist()) for _ in range(10)}) == 1


@pytest.mark.parametrize(("numeric", "cardinalities"), [(0, [3]), (2, []), (1, [0])])
def test_a_network_needs_only_one_kind_of_column(numeric: int, cardinalities: list[int]) -> None:
    network = SimpleClassifier(**{**ARGUMENTS, "numeric": numeric, "cardinalities": cardinalities}).eval()
    logits = network(torch.zeros(4, numeric), torch.zeros(4, len(cardinalities), dtype=torch.int64))
    assert logits.shape == (4, 2)


def test_a_rebuilt_network_has_the_weights_and_is_in_eval() -> None:
    network = build(NETWORK)
    again = rebuild(NETWORK, network.state_dict())
    assert not any(module.training for module in again.modules())
    assert all(tensor.equal(network.state_dict()[name]) for name, tensor in again.state_dict().items())


@pytest.mark.parametrize(
    "change", [lambda state: state.pop("features.normalize.mean"), lambda state: state.update(odd=torch.zeros(1))]
)
def test_weights_that_do_not_fit_are_refused(change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    state = build(NETWORK).state_dict()
    change(state)
    with pytest.raises(Refused, match=r"tensor '(odd|features\.normalize\.mean)'"):
        rebuild(NETWORK, state)


@pytest.mark.parametrize(
    "network", [None, Network(class_name="Module", arguments={}), Network(class_name="os.system", arguments={})]
)
def test_only_known_classes_are_built(network: Network | None) -> None:
    with pytest.raises(BadInput, match=r"is not known; isoform\.networks has: SimpleClassifier"):
        build(network)


@pytest.mark.parametrize("arguments", [{}, ARGUMENTS | {"odd": 1}, {**ARGUMENTS, "hidden": "many"}])
def test_arguments_that_the_class_does_not_take_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="network 'SimpleClassifier': does not take these arguments"):
        build(Network(class_name="SimpleClassifier", arguments=arguments))


@pytest.mark.parametrize("arguments", [{"dropout": 2.0}, {"hidden": -1}, {"cardinalities": [-5]}])
def test_arguments_out_of_range_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="network 'SimpleClassifier'"):
        build(Network(class_name="SimpleClassifier", arguments=ARGUMENTS | arguments))


def test_categories_become_indices_and_unseen_ones_zero(published: Callable[[str], Workspace]) -> None:
    config: Config = published("mixed").config("network")
    seen = config.categories["c0"]
    columns = {name: np.zeros(3, dtype=np.float32) for name in config.numeric}
    columns |= {"c0": np.array([seen[0], seen[-1], "unseen"], dtype=object), "c1": np.array(["", "once", "x"], dtype=object)}
    numeric, categories = to_tensors(columns, config)
    assert (numeric.dtype, categories.dtype) == (torch.float32, torch.int64)
    assert categories[:, 0].tolist() == [1, len(seen), 0]
    assert categories[2, 1] == 0


def test_every_known_network_can_be_named() -> None:
    assert networks.NETWORKS["SimpleClassifier"] is SimpleClassifier
    assert all(issubclass(entry, nn.Module) for entry in networks.NETWORKS.values())


def regressor(targets: list[float]) -> SimpleRegressor:
    arguments = {name: value for name, value in ARGUMENTS.items() if name != "classes"}
    network = SimpleRegressor(**arguments).eval()  # type: ignore[arg-type]
    network.fit_statistics(np.ones((len(targets), 3), dtype=np.float32), np.array(targets, dtype=np.float32))
    return network


def test_a_regressor_answers_in_the_units_of_its_target() -> None:
    network = regressor([100, 200, 600])
    for parameter in network.net[3].parameters():
        torch.nn.init.zeros_(parameter)
    row = torch.ones(2, 3), torch.ones(2, 2, dtype=torch.int64)
    assert network(*row).tolist() == [[300], [300]]
    torch.nn.init.ones_(network.net[3].bias)
    np.testing.assert_allclose(network(*row).detach(), 300 + np.std([100, 200, 600]), rtol=1e-6)
    assert {"mean", "deviation"} <= network.state_dict().keys()


def test_a_constant_target_has_no_zero_to_divide_by() -> None:
    assert regressor([5, 5, 5]).deviation.tolist() == [1]


@pytest.mark.parametrize("value", [1e-30, 1e-45, 0.1])
def test_a_constant_so_small_that_float32_rounds_its_deviation_away_stays_finite(value: float) -> None:
    found = fitted([[value], [value], [2 * value]])
    assert torch.isfinite(found(torch.tensor([[value], [0.0], [1e30]]))).all()


def test_a_prediction_is_answered_as_it_is_and_logits_as_probabilities() -> None:
    output = torch.tensor([[3.0, 1.0]])
    assert networks.answer(output, "regression") is output
    assert networks.answer(output, "classification").sum().item() == pytest.approx(1)
