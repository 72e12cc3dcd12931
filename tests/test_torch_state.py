"""PyTorch's layouts, proved with the definitions of its modules written out in NumPy (PyTorch is not needed)."""

import numpy as np
import pytest

import minicnn as mc
from minicnn.torch_state import from_torch_state, to_torch_state

SHAPE = (6, 5, 2)           # H, W, C all different and above 1


def torch_conv2d(x, weight, bias, stride=1, padding=0):
    """y[n,k,p,q] = bias[k] + sum over c,r,s of x[n,c,p*stride+r,q*stride+s] * weight[k,c,r,s], as nn.Conv2d is documented."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    n, _, height, width = x.shape
    filters, _, size_h, size_w = weight.shape
    y = np.zeros((n, filters, (height - size_h) // stride + 1, (width - size_w) // stride + 1))
    for image, k, p, q in np.ndindex(*y.shape):
        window = x[image, :, p * stride:p * stride + size_h, q * stride:q * stride + size_w]
        y[image, k, p, q] = (window * weight[k]).sum() + (0 if bias is None else bias[k])
    return y


def torch_batchnorm(x, state, key):
    """Evaluation mode of nn.BatchNorm2d (4 axes) and nn.BatchNorm1d (2 axes)."""
    shape = (1, -1, 1, 1)[:x.ndim]
    names = ("weight", "bias", "running_mean", "running_var")
    weight, bias, mean, var = (state[f"{key}.{name}"].reshape(shape) for name in names)
    return (x - mean) / np.sqrt(var + 1e-5) * weight + bias


def randomise(net, seed=0):
    rng = np.random.default_rng(seed)
    for array in net.tensors().values():
        array[...] = rng.uniform(0.5, 1.5, array.shape)


def flat_net(seed=0):
    """conv, batch norm, ReLU, flatten, batch norm, dense, dense."""
    net = mc.Sequential([mc.Conv2D(3, (3, 2), stride=2, padding=1), mc.BatchNorm(), mc.ReLU(), mc.Flatten(), mc.BatchNorm(),
                         mc.Dense(7, bias=False), mc.Dense(4)], SHAPE, dtype="float64")
    randomise(net, seed)
    return net


def images(n=3):
    return np.random.default_rng(9).standard_normal((n, *SHAPE))


def test_the_same_function_there():
    net = flat_net()
    state, x = to_torch_state(net), images().transpose(0, 3, 1, 2)
    y = np.maximum(0, torch_batchnorm(torch_conv2d(x, state["0.weight"], state["0.bias"], 2, 1), state, "1"))
    assert y.shape[1:] == (3, 3, 3)
    y = torch_batchnorm(y.reshape(len(y), -1), state, "4")                  # nn.Flatten: (c, h, w) order
    y = y @ state["5.weight"].T @ state["6.weight"].T + state["6.bias"]     # nn.Linear: x weight^T + bias
    np.testing.assert_allclose(net.forward(images())[0], y, rtol=1e-12)


def test_keys_shapes_and_types():
    net = flat_net()
    shapes = {key: array.shape for key, array in to_torch_state(net).items()}
    norm = {"weight", "bias", "running_mean", "running_var"}
    assert shapes == {"0.weight": (3, 2, 3, 2), "0.bias": (3,), "5.weight": (7, 27), "6.weight": (4, 7), "6.bias": (4,),
                      "1.num_batches_tracked": (), "4.num_batches_tracked": ()} | {f"1.{k}": (3,) for k in norm} | {
                          f"4.{k}": (27,) for k in norm}
    arrays = to_torch_state(mc.Sequential([mc.Conv2D(3, 3)], SHAPE)).values()
    assert all(a.dtype == np.float32 and a.flags.c_contiguous for a in arrays)


def test_and_back():
    net, other = flat_net(0), flat_net(1)
    assert net.weights_sha256() != other.weights_sha256()
    from_torch_state(other, to_torch_state(net))
    assert net.weights_sha256() == other.weights_sha256()


def test_a_flatten_that_is_two_layers_away():
    net = mc.Sequential([mc.Flatten(), mc.Dropout(0.5), mc.ReLU(), mc.Dense(4)], SHAPE, dtype="float64")
    x, state = np.abs(images()), to_torch_state(net)
    expected = x.transpose(0, 3, 1, 2).reshape(3, -1) @ state["3.weight"].T + state["3.bias"]
    np.testing.assert_allclose(net.forward(x)[0], expected, rtol=1e-12)


def test_a_residual_block():
    net = mc.Sequential([mc.Residual([mc.Conv2D(3, 3, padding=1), mc.ReLU()], shortcut=[mc.Conv2D(3, 1, bias=False)]),
                         mc.GlobalAvgPool2D(), mc.Dense(4)], SHAPE, dtype="float64")
    state, x = to_torch_state(net), images().transpose(0, 3, 1, 2)
    assert set(state) == {"0.layers.0.weight", "0.layers.0.bias", "0.shortcut.0.weight", "2.weight", "2.bias"}
    y = np.maximum(0, torch_conv2d(x, state["0.layers.0.weight"], state["0.layers.0.bias"], padding=1))
    y = y + torch_conv2d(x, state["0.shortcut.0.weight"], None)
    np.testing.assert_allclose(net.forward(images())[0], y.mean(axis=(2, 3)) @ state["2.weight"].T + state["2.bias"], rtol=1e-12)


@pytest.mark.parametrize("change, message", [
    (lambda state: state.pop("6.bias"), r"missing \['6.bias'\], unknown none"),
    (lambda state: state.update({"7.weight": np.zeros(3)}), r"missing none, unknown \['7.weight'\]"),
    (lambda state: state.update({"5.weight": np.zeros((27, 7))}), r"5.weight has shape \(27,7\), the net needs \(7,27\)"),
])
def test_what_does_not_fit_changes_nothing(change, message):
    net = flat_net()
    state, before = to_torch_state(flat_net(1)), net.weights_sha256()
    change(state)
    with pytest.raises(ValueError, match=message):
        from_torch_state(net, state)
    assert net.weights_sha256() == before


def test_an_own_layer_has_no_counterpart():
    class Scale(mc.Layer):
        def build(self, input_shape, rng):
            self.params["g"] = np.ones(1)
            return input_shape

    with pytest.raises(ValueError, match="scale_1: Scale has no counterpart in PyTorch"):
        to_torch_state(mc.Sequential([Scale()], SHAPE))
