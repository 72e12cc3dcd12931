"""The same net in other libraries: plain loops by the reference, ONNX and JAX where they are installed."""

import benchmark_modules
import numpy as np
import pytest

import minicnn as mc
from minicnn import kernels

modules = pytest.fixture(benchmark_modules.imported)


def layers():
    return [mc.Conv2D(3, 3, padding="same"), mc.BatchNorm(), mc.ReLU(), mc.MaxPool2D(2),
            mc.Conv2D(4, (2, 3), bias=False, padding=(1, 0, 2, 1)), mc.AvgPool2D(2, stride=1), mc.Flatten(), mc.Dense(5),
            mc.ReLU(), mc.Dense(4)]


def moved(net):
    rng = np.random.default_rng(0)
    net.load_tensors({key: rng.uniform(0.2, 1, array.shape) * (array + 0.1) for key, array in net.tensors().items()})
    return net


def test_onnx_runtime_gets_the_same_net(modules):
    pytest.importorskip("onnx", reason="onnx is not installed")
    onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    net = moved(mc.Sequential(layers(), (8, 9, 2)))
    x = np.random.default_rng(1).standard_normal((3, 8, 9, 2)).astype(np.float32)
    session = onnxruntime.InferenceSession(modules("onnx_twin").graph(net, 3).SerializeToString())
    y, = session.run(None, {"x": np.array(x.transpose(0, 3, 1, 2), order="C")})
    with kernels.use("reference"):
        ours = net.predict(x)
    assert np.abs(y - ours).max() < 1e-6 and 0.05 < ours.max() < 0.95


def test_onnx_twin_refuses_what_it_does_not_know(modules):
    pytest.importorskip("onnx", reason="onnx is not installed")
    with pytest.raises(ValueError, match="Tanh.* has no node here"):
        modules("onnx_twin").graph(mc.Sequential([mc.Dense(2), mc.Tanh()], (3,)), 1)


def test_jax_takes_the_same_steps(modules, monkeypatch):
    pytest.importorskip("jax", reason="JAX is not installed")
    twin, net = modules("jax_twin"), [mc.Conv2D(3, 3, padding="same", bias=False), mc.BatchNorm(), mc.ReLU(), mc.MaxPool2D(2),
                                      mc.Flatten(), mc.Dense(4)]
    made, rng = mc.Sequential(net, (6, 6, 2)), np.random.default_rng(2)
    x, labels = rng.standard_normal((8, 6, 6, 2)).astype(np.float32), rng.integers(0, 4, 8)
    monkeypatch.setattr(twin, "first_net", lambda name: made)
    monkeypatch.setattr(twin, "batches", lambda name: [(x, labels)])
    monkeypatch.setattr(twin.os, "sched_setaffinity", lambda *_: None)
    there = twin.Jax("", 1, 0.1, 0.9)
    there.restart()
    losses = [there.step(*there.batches[0]) for _ in range(3)]
    with kernels.use("reference"):
        trainer = mc.Trainer(made, mc.SGD(0.1, momentum=0.9), threads=1)
        assert losses == pytest.approx([trainer.step(x, labels) for _ in range(3)], rel=1e-5)


@pytest.mark.parametrize("pad", [0, 1, 2])
def test_the_plain_convolution(modules, pad):
    naive, rng = modules("naive_numba"), np.random.default_rng(3)
    x, w, b = rng.standard_normal((2, 5, 6, 3)), rng.standard_normal((3, 2, 3, 4)), rng.standard_normal(4)
    P, Q = 5 + 2 * pad - 2, 6 + 2 * pad - 1
    dy = rng.standard_normal((2, P, Q, 4))
    y, dx, dw, db = np.empty_like(dy), np.empty_like(x), np.empty_like(w), np.empty_like(b)
    kernels.function("reference", "conv2d_forward")(x, w, b, y, 1, 1, pad, pad)
    kernels.function("reference", "conv2d_backward_input")(dy, w, dx, 1, 1, pad, pad)
    kernels.function("reference", "conv2d_backward_weight")(x, dy, dw, db, 1, 1, pad, pad)
    images, filters = (0, 3, 1, 2), (3, 2, 0, 1)
    there = {name: np.array(a.transpose(images)) for name, a in (("x", x), ("dy", dy))}
    found_y, found_dx, found_dw = np.empty((2, 4, P, Q)), np.empty_like(there["x"]), np.empty((4, 3, 3, 2))
    naive.conv_forward.py_func(there["x"], w.transpose(filters), b, found_y, pad)
    naive.conv_backward_input.py_func(there["dy"], w.transpose(filters), found_dx, pad)
    naive.conv_backward_weight.py_func(there["x"], there["dy"], found_dw, pad)
    assert np.allclose(found_y, y.transpose(images)) and np.allclose(found_dx, dx.transpose(images))
    assert np.allclose(found_dw, dw.transpose(filters), rtol=1e-5, atol=1e-5)       # its sums are float32


def test_the_plain_pool(modules):
    naive, x = modules("naive_numba"), np.random.default_rng(4).standard_normal((2, 3, 5, 6))
    y, best, dx = np.empty((2, 3, 2, 3)), np.empty((2, 3, 2, 3), np.int64), np.zeros_like(x)
    naive.pool_forward.py_func(x, y, best, 2)
    naive.pool_backward.py_func(y, best, dx, 2)
    assert (y == x[:, :, :4].reshape(2, 3, 2, 2, 3, 2).max(axis=(3, 5))).all()
    assert np.sort(dx[dx != 0]).tolist() == np.sort(y, axis=None).tolist() and (dx[dx != 0] == x[dx != 0]).all()
