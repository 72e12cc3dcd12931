"""Agreement with PyTorch, as recorded in golden/: every layer and option, losses, nets, optimizers, the layout of weights.

Tolerances are shares of the largest value of an array. float64 runs on the reference column, float32 on the cpu column.
"""
import golden_cases as cases
import numpy as np
import pytest

import minicnn as mc
from minicnn.layers import REGISTRY
from minicnn.layers.chain import flatten

EPS = float(np.finfo(np.float32).eps)
TOLERANCE = {"float64": 1e-12, "float32": 32 * EPS}         # measured: 2e-15 and 8 eps
FLOAT32_LOSS = 1e-6             # of a loss within ten steps; measured: 1.4e-7, PyTorch's own float32 against its float64 too

both_types = pytest.mark.parametrize("dtype", ["float64", "float32"])


@pytest.fixture(scope="module")
def golden():
    """file -> case -> array, all read at once. A missing file is an error of every test."""
    found = {}
    for name in ("nets", "losses", "training", "states"):
        with np.load(cases.FOLDER / f"{name}.npz") as file:
            found[name] = {key: file[key] for key in file.files}
    return found


def fields(record) -> dict[str, np.ndarray]:
    return {name: record[name] for name in record.dtype.names}


def worst(found: dict, expected: dict) -> float:
    """The largest difference, as a share of the largest value of its array."""
    assert found.keys() == expected.keys()
    errors = []
    for name, array in expected.items():
        assert found[name].shape == array.shape, name
        errors.append(np.abs(found[name] - array).max() / np.abs(array).max())
    return max(errors)


@both_types
@pytest.mark.parametrize("name, mode", cases.RUNS)
def test_gradients(golden, name, mode, dtype):
    given = fields(golden["nets"][name])
    make, shape = cases.NETS[name]
    net = mc.Sequential(make(), shape, dtype=dtype)
    x, dy = given.pop("x"), given.pop("dy")
    net.load_tensors(given)
    y, caches = net.forward(x, train=cases.TRAIN[mode])
    dx, grads = net.backward(dy, caches)
    found = {"y": y, "dx": dx} | net.tensors() | cases.gradients(net, grads)
    assert {array.dtype for array in found.values()} == {np.dtype(dtype)}
    assert worst(found, fields(golden["nets"][f"{name}/{mode}"])) <= TOLERANCE[dtype]


def test_a_planted_error_is_found(golden):
    """One value in the gradient of a wide filter, off by a hundredth of the largest."""
    expected = fields(golden["nets"]["conv_wide/train"])
    found = expected | {"dx": expected["dx"].copy()}
    assert worst(found, expected) == 0
    found["dx"][1, 2, 3, 1] += 0.01 * np.abs(found["dx"]).max()
    assert worst(found, expected) > 1000 * TOLERANCE["float32"]


def test_every_layer_is_compared():
    layers = {type(layer).__name__ for make, _ in cases.NETS.values() for layer in flatten(make())}
    assert layers == set(REGISTRY)


@both_types
@pytest.mark.parametrize("name", cases.LOSSES)
def test_losses(golden, name, dtype):
    loss, given = cases.LOSSES[name], fields(golden["losses"][name])
    logits, labels = given["logits"].astype(dtype), given["labels"]
    denominator = loss.denominator(labels, logits.dtype)
    found = {"loss": loss.forward(logits, labels).sum() / denominator, "dlogits": loss.backward(logits, labels, 1 / denominator)}
    assert worst(found, {key: given[key] for key in found}) <= TOLERANCE[dtype]


def train(golden, name: str, dtype: str):
    """(ten losses, the net after them)."""
    given, (optimizer, loss) = golden["training"], cases.TRAINING[name]
    net = cases.trained_net(dtype)
    net.load_tensors(fields(given["weights"]))
    trainer = mc.Trainer(net, optimizer, loss, threads=2)
    return np.array([trainer.step(x, labels) for x, labels in zip(given["images"], given["labels"], strict=True)]), net


@pytest.mark.parametrize("name", cases.TRAINING)
def test_ten_steps_in_float64(golden, name):
    found, net = train(golden, name, "float64")
    expected = fields(golden["training"][name])
    np.testing.assert_allclose(found, expected.pop("float64"), rtol=TOLERANCE["float64"])
    del expected["float32"]
    assert worst(net.tensors(), expected) <= TOLERANCE["float64"]


@pytest.mark.parametrize("name", cases.TRAINING)
def test_ten_steps_in_float32(golden, name):
    found, _ = train(golden, name, "float32")
    recorded = golden["training"][name]
    assert found[-1] != found[0]
    np.testing.assert_allclose(found, recorded["float64"], rtol=FLOAT32_LOSS)
    np.testing.assert_allclose(found, recorded["float32"], rtol=2 * FLOAT32_LOSS)


@pytest.mark.parametrize("name", cases.STATES)
def test_the_state_of_a_stock_net(golden, name):
    """The weights of an nn.Sequential, with channels, height and width distinct where it flattens, give its outputs here."""
    state = fields(golden["states"][name])
    x, expected = state.pop("x"), state.pop("y")
    make, shape = cases.STATES[name]
    net = mc.Sequential(make(), shape)
    mc.from_torch_state(net, state)
    maps = next(layer.input_shape for layer in net.layers if isinstance(layer, mc.Flatten))
    assert len({1, *maps}) == 4
    again = mc.to_torch_state(net)
    counters = {key for key in state if key.endswith("num_batches_tracked")}
    assert again.keys() == state.keys()
    assert all(np.array_equal(again[key], state[key]) and again[key].dtype == state[key].dtype for key in state.keys() - counters)
    assert worst({"y": net.forward(x)[0]}, {"y": expected}) <= TOLERANCE["float32"]
    exact = mc.Sequential(make(), shape, dtype="float64")
    mc.from_torch_state(exact, state)
    assert worst({"y": exact.forward(x)[0]}, {"y": expected}) <= TOLERANCE["float64"]
