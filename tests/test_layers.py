"""What holds for every layer: right gradients, no hidden state, a config that makes it again, float32 close to float64."""

import json

import numpy as np
import pytest
from layer_cases import CASES, NAMES, batch, built, keys

import minicnn as mc
from minicnn.layers import REGISTRY, from_spec, to_spec
from minicnn.layers.base import build, in_order

every_layer = pytest.mark.parametrize("make, shape", CASES, ids=NAMES)


def test_every_layer_of_the_registry_has_a_case():
    assert {type(make()).__name__ for make, _ in CASES} == set(REGISTRY)
    assert set(REGISTRY) <= set(mc.__all__)


@every_layer
@pytest.mark.parametrize("train", [True, False])
def test_gradients(make, shape, train):
    report = mc.check(make(), shape, train=train)
    assert report.ok and report.findings[0].name == "dx"
    assert all(finding.checked > 0 and finding.skipped == 0 for finding in report.findings)


@every_layer
def test_shapes_and_dtype(make, shape):
    for dtype in (np.float32, np.float64):
        layer = built(make, shape, dtype)
        y, cache = layer.forward(batch(shape, dtype=dtype), True, keys())
        assert y.shape == (3, *layer.output_shape) and y.dtype == dtype
        dx, grads = layer.backward(np.ones_like(y), cache)
        assert dx.shape == (3, *shape) and dx.dtype == dtype
        assert {name: (g.shape, g.dtype) for name, g in grads.items()} == {n: (p.shape, p.dtype) for n, p in layer.params.items()}


@every_layer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_reentrant(make, shape, dtype):
    a, b = batch(shape, seed=1, dtype=dtype), batch(shape, seed=2, dtype=dtype)
    alone = built(make, shape, dtype)
    y, cache = alone.forward(a, True, keys())
    dx, grads = alone.backward(y, cache)
    mixed = built(make, shape, dtype)
    y_a, cache_a = mixed.forward(a, True, keys())
    y_b, cache_b = mixed.forward(b, True, keys(seed=5))
    mixed.backward(y_b, cache_b)
    dx_a, grads_a = mixed.backward(y_a, cache_a)
    assert np.array_equal(y, y_a) and np.array_equal(dx, dx_a) and not np.array_equal(y_a, y_b)
    assert all(np.array_equal(grads[name], grads_a[name]) for name in grads)


@every_layer
def test_inputs_stay_as_they_are(make, shape):
    layer, x = built(make, shape, np.float32), batch(shape, dtype=np.float32)
    params = {name: param.copy() for name, param in layer.params.items()}
    y, cache = layer.forward(x, True, keys())
    dy = np.random.default_rng(0).standard_normal(y.shape).astype(np.float32)
    before = dy.copy()
    layer.backward(dy, cache)
    assert np.array_equal(x, batch(shape, dtype=np.float32)) and np.array_equal(dy, before)
    assert all(np.array_equal(params[name], layer.params[name]) for name in params)


@every_layer
def test_weights_alone_equal_those_of_backward(make, shape):
    layer = built(make, shape)
    y, cache = layer.forward(batch(shape), True, keys())
    alone, grads = layer.backward_weights(y, cache), layer.backward(y, cache)[1]
    assert alone.keys() == grads.keys() and all(np.array_equal(alone[name], grads[name]) for name in grads)


@every_layer
def test_config_makes_the_layer_again(make, shape):
    layer = built(make, shape)
    again = from_spec(json.loads(json.dumps(to_spec(layer))))
    assert repr(again) == repr(layer) and to_spec(again) == to_spec(layer)
    assert build(again, shape, None) == layer.output_shape
    assert {name: a.shape for name, a in again.params.items()} == {name: a.shape for name, a in layer.params.items()}


@every_layer
def test_float32_is_close_to_float64(make, shape):
    exact, fast = built(make, shape), built(make, shape, np.float32)
    for name, param in fast.params.items():
        exact.params[name][...] = param                 # the rounded values, so that only arithmetic differs
    for name, array in fast.state.items():
        exact.state[name][...] = array
    (y64, cache64), (y32, cache32) = (layer.forward(batch(shape, dtype=dtype), True, keys())
                                      for layer, dtype in ((exact, np.float64), (fast, np.float32)))
    dy = np.random.default_rng(0).standard_normal(y64.shape).astype(np.float32)
    (dx64, grads64), (dx32, grads32) = exact.backward(dy.astype(np.float64), cache64), fast.backward(dy, cache32)
    pairs = [(y32, y64), (dx32, dx64)] + [(grads32[name], grads64[name]) for name in grads64]
    pairs += [(fast.state[name], exact.state[name]) for name in exact.state]
    for found, expected in pairs:
        assert np.abs(found - expected).max() <= 32 * np.finfo(np.float32).eps * max(1, np.abs(expected).max())


@every_layer
@pytest.mark.parametrize("train", [True, False])
def test_shards_equal_the_batch(make, shape, train):
    whole, cut = built(make, shape), built(make, shape)
    x, random = batch(shape, 7), keys(7)
    y, cache = whole.forward(x, train, random)
    dx, grads = whole.backward(y, cache)
    bounds = (slice(0, 3), slice(3, 4), slice(4, 7))
    pairs = cut.forward_shards([x[part] for part in bounds], train, [random.shard(p.start, p.stop) for p in bounds], in_order)
    dxs, sums = cut.backward_shards([part for part, _ in pairs], [cache for _, cache in pairs], in_order)
    close = {"rtol": 1e-9, "atol": 1e-12}
    np.testing.assert_allclose(np.concatenate([part for part, _ in pairs]), y, **close)
    np.testing.assert_allclose(np.concatenate(dxs), dx, **close)
    for name in grads:
        np.testing.assert_allclose(sums[name], grads[name], **close)
    for name in whole.state:
        np.testing.assert_allclose(cut.state[name], whole.state[name], **close)


@every_layer
def test_an_empty_batch(make, shape):
    layer = built(make, shape, np.float32)
    y, cache = layer.forward(np.empty((0, *shape), np.float32))
    dx, grads = layer.backward(y, cache)
    assert y.shape == (0, *layer.output_shape) and dx.shape == (0, *shape)
    assert all(not grad.any() for grad in grads.values())
