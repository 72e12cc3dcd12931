"""The profile of a net: the walk over its layers computes what the engine computes, and counts what was counted by hand."""

import json

import numpy as np
import pytest

import minicnn as mc
from minicnn import kernels
from minicnn.engine import Engine
from minicnn.lab import layer_walk, roof
from minicnn.lab.twin import twin
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.profile import Profile, Row, profile, sample_batch
from minicnn.random import Keys

IMAGES = 20             # two shards


class Centre(mc.Layer):
    """An own layer that needs the whole batch."""

    def forward(self, x, train=False, rng=None):
        return x - x.mean(axis=0), None

    def backward(self, dy, cache):
        return dy - dy.mean(axis=0), {}


def plain():
    return mc.Sequential([mc.Conv2D(3, 3, padding="same"), mc.ReLU(), mc.MaxPool2D(2), mc.Conv2D(4, 3), mc.Flatten(),
                          mc.Dropout(0.5), mc.Dense(5)], (8, 8, 2))


def with_everything():
    block = mc.Residual([mc.Conv2D(4, 3, padding="same"), mc.BatchNorm(), mc.ReLU()], [mc.Conv2D(4, 1)])
    inner = mc.Residual([mc.Conv2D(4, 1), mc.Tanh()])
    return mc.Sequential([mc.ReLU(), mc.Conv2D(3, 3), mc.BatchNorm(), block, inner, Centre(), mc.GlobalAvgPool2D(), mc.Dense(5),
                          mc.Softmax()], (8, 8, 2))


def batch(n=IMAGES):
    return np.random.default_rng(1).standard_normal((n, 8, 8, 2), np.float32), np.arange(n) % 5


@pytest.fixture(autouse=True)
def quick_roof(monkeypatch):
    """A roof of 50 GFLOP/s and 10 GB/s that needs no measuring."""
    monkeypatch.setattr(roof, "measure", lambda: (50.0, 10.0))


def walked(net, n=IMAGES):
    x, labels = batch(n)
    walk = layer_walk.Walk(twin(net, 1), x, labels, SoftmaxCrossEntropy())
    return walk, walk.run()


@pytest.mark.parametrize("make", [plain, with_everything])
def test_the_walk_computes_the_gradients_of_the_engine(make):
    net, (x, labels) = make(), batch()
    walk, _ = walked(net)
    assert len(walk.xs) == 2
    engine = Engine(twin(net).layers, net.input_shape, 1)
    with kernels.use(column="cpu"):             # nothing fused: layer by layer, as the walk goes
        _, grads = engine.step(x, labels, SoftmaxCrossEntropy(), Keys(0, 0, np.arange(len(x))),
                               engine.layers[:len(net.logit_layers)])
    wanted = {f"{layer.name}/{key}": grad for layer, of_layer in zip(net.logit_layers, grads, strict=True)
              for key, grad in of_layer.items()}
    assert walk.grads.keys() == wanted.keys()
    for key, grad in wanted.items():
        assert np.array_equal(walk.grads[key], grad), key


def test_the_users_net_stays_as_it_is():
    net = with_everything()
    before, caught = net.weights_sha256(), net.engine
    profile(net, *batch(), seconds=0)
    assert net.weights_sha256() == before and net.engine is caught


def test_flops_and_bytes_counted_by_hand():
    _, costs = walked(plain())
    x, map8, map4, map2, vector = 8 * 8 * 2, 8 * 8 * 3, 4 * 4 * 3, 2 * 2 * 4, 16            # numbers of one image
    w1, w2, w3 = 3 * 3 * 2 * 3 + 3, 3 * 3 * 3 * 4 + 4, vector * 5 + 5
    per_image = {
        ("conv2d_1", "forward"): (2 * map8 * 18, 4 * (x + map8)),
        ("conv2d_1", "backward"): (2 * map8 * 18, 4 * (map8 + x)),                          # the weights' gradients alone
        ("relu_1", "forward"): (0, 8 * map8),
        ("relu_1", "backward"): (0, 12 * map8),
        ("maxpool2d_1", "forward"): (0, 4 * (map8 + map4) + map4),                          # and a byte for each maximum's place
        ("maxpool2d_1", "backward"): (0, 4 * (map8 + map4) + map4),
        ("conv2d_2", "forward"): (2 * map2 * 27, 4 * (map4 + map2)),
        ("conv2d_2", "backward"): (4 * map2 * 27, 4 * (map4 + map2 + map4)),
        ("flatten_1", "forward"): (0, 0),
        ("flatten_1", "backward"): (0, 0),
        ("dropout_1", "forward"): (0, 8 * vector + vector),
        ("dropout_1", "backward"): (0, 8 * vector + vector),
        ("dense_1", "forward"): (2 * vector * 5, 4 * (vector + 5)),
        ("dense_1", "backward"): (4 * vector * 5, 4 * (5 + 2 * vector)),
        ("loss", "forward"): (0, 4 * 5 + 8),
        ("loss", "backward"): (0, 4 * 10 + 8),
    }
    once = {("conv2d_1", "forward"): w1, ("conv2d_1", "backward"): w1, ("conv2d_2", "forward"): w2,
            ("conv2d_2", "backward"): 2 * w2, ("dense_1", "forward"): w3, ("dense_1", "backward"): 2 * w3}
    assert costs.pop(("update", "update")).bytes == 4 * 5 * (w1 + w2 + w3)
    found = {key: (cost.flops, cost.bytes) for key, cost in costs.items()}
    assert found == {key: (flops * IMAGES, moved * IMAGES + 4 * once.get(key, 0)) for key, (flops, moved) in per_image.items()}
    assert all(cost.seconds > 0 for cost in costs.values())


def test_layers_in_front_of_the_first_weights_have_no_backward():
    _, costs = walked(with_everything())
    assert ("relu_1", "forward") in costs and ("relu_1", "backward") not in costs
    assert ("residual_1/conv2d_2", "backward") in costs and ("residual_2", "backward") in costs


def test_numbers_of_a_row():
    row = Row("conv2d_1", "Conv2D(2, 3)", "forward", seconds=0.004, flops=10**8, bytes=10**7, bound=0.002)
    assert (row.gflops, row.intensity, row.of_roof, row.saves) == (pytest.approx(25), 10, 0.5, 0.002)
    above = Row("relu_1", "ReLU()", "forward", seconds=0.001, flops=0, bytes=10**7, bound=0.002)
    assert (above.gflops, above.of_roof, above.saves) == (0, 2, 0)
    nothing = Row("flatten_1", "Flatten()", "forward", seconds=1e-6, flops=0, bytes=0, bound=0.0)
    assert nothing.of_roof is None and nothing.intensity is None


def test_profile_of_a_net():
    net = plain()
    answer = net.profile(batch()[0])
    assert isinstance(answer, Profile) and answer.passes >= 3
    assert [(row.layer, row.way) for row in answer.rows[1:3]] == [("conv2d_1", "backward"), ("relu_1", "forward")]
    assert answer.rows[-1].way == "update" and answer.rows[-2].layer == "loss"
    first = answer.rows[0]
    assert first.what == "Conv2D(3, 3, padding='same')"
    assert first.bound == pytest.approx(max(first.flops / 50e9, first.bytes / 10e9))
    assert first.saves == pytest.approx(max(0, first.seconds - first.bound))
    told = json.loads(json.dumps(answer.document(), allow_nan=False))
    assert told["rows"][0]["layer"] == "conv2d_1" and told["rows"][0]["of_roof"] == pytest.approx(first.of_roof)
    assert told["step"] > 0 and told["seconds"] == pytest.approx(sum(row.seconds for row in answer.rows)) and told["threads"] == 1


def test_the_table():
    rows = (Row("conv2d_1", "", "forward", 0.004, 10**8, 10**7, 0.002),
            Row("conv2d_1", "", "backward", 0.006, 10**8, 10**7, 0.003),
            Row("flatten_1", "", "forward", 1e-6, 0, 0, 0.0), Row("update", "SGD", "update", 0.001, 0, 10**7, 0.0005))
    text = str(Profile("Sequential(...)", 64, "float32", 9, 50.0, 10.0, 0.0125, rows))
    lines = text.splitlines()
    assert "batch 64" in lines[0] and "1 thread" in lines[0] and "50 GFLOP/s, 10 GB/s" in lines[0]
    assert lines[2].split() == ["conv2d_1", "forward", "4.000", "32.0%", "25.0", "10.00", "10.0", "50%", "2.000", "16.0%"]
    assert lines[3].split()[:3] == ["backward", "6.000", "48.0%"]
    assert lines[4].split()[2:] == ["0.001", "0.0%", *"-" * 6]
    assert lines[-2].split()[:3] == ["all", "11.001", "88.0%"] and lines[-2].split()[-2:] == ["5.501", "44.0%"]
    assert lines[-1] == "a whole training step: 12.500 ms; the layers one by one make 88% of it"


def test_float64_has_no_share_of_the_roof():
    net = mc.Sequential([mc.Dense(3), mc.Sigmoid(), mc.Dense(2)], (4,), dtype="float64")
    answer = profile(net, np.ones((6, 4)), seconds=0)
    assert all(row.bound is None and row.saves is None for row in answer.rows)
    assert " - " in answer.table() and json.dumps(answer.document(), allow_nan=False)


def test_kernels_in_force_are_the_ones_that_run():
    calls = []
    relu = kernels.get("relu_forward", np.float32)
    with mc.use(relu_forward=lambda x, y: calls.append(x.shape) or relu(x, y)):
        profile(plain(), *batch(), seconds=0)
    assert calls


def test_what_does_not_fit_is_refused():
    net = plain()
    with pytest.raises(ValueError, match="as many labels as images"):
        profile(net, batch()[0], [1, 2])
    with pytest.raises(ValueError, match="the net needs"):
        profile(net, np.ones((3, 8, 8, 1)))
    with pytest.raises(ValueError, match=r"ends in \(N,classes\)"):
        profile(mc.Sequential([mc.ReLU()], (4, 4, 1)), np.ones((3, 4, 4, 1)))


def test_sample_batch(tmp_path):
    net = plain()
    x, labels, what = sample_batch(net)
    assert x.shape == (64, 8, 8, 2) and labels is None and what == "64 images of noise"
    data = mc.load("digits")
    own = mc.Sequential([mc.GlobalAvgPool2D(), mc.Dense(10)], data.shape)
    run = mc.fit(own, data, epochs=1, batch=50, out=tmp_path)
    x, labels, what = sample_batch(own, run)
    assert np.array_equal(x, data.train.images[:50]) and np.array_equal(labels, data.train.labels[:50])
    assert what == "the first 50 training images of digits"
    run.data, run.description["data"] = None, {}
    assert sample_batch(own, run, 7)[2].startswith("7 images of noise (") and len(sample_batch(own, run, 7)[0]) == 7
