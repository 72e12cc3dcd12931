"""The gradient check itself: planted errors are found and explained, right layers and kinks are not."""

import numpy as np
import pytest

import minicnn as mc
from minicnn.diagnosis import diagnose
from minicnn.gradcheck import GradientError, measure
from minicnn.layers import LayerError

SHAPE = (6, 7, 2)          # so a 3x3 convolution gives 4x5 maps, and no two extents are alike


class Planted(mc.Conv2D):
    """A convolution whose gradients pass through a function."""

    def __init__(self, change):
        super().__init__(4, 3)
        self.change = change

    def backward(self, dy, cache):
        dx, grads = super().backward(dy, cache)
        return self.change(dx, grads["w"], grads["b"])


def found(layer, name, shape=SHAPE, **options):
    report = measure(layer, shape, **options)
    return next(finding for finding in report.findings if finding.name == name)


@pytest.mark.parametrize("change, name, diagnosis", [
    (lambda dx, w, b: (dx, {"w": 3 * w, "b": b}), "dw", "dividing by 3 = batch size: a mean over the batch is missing"),
    (lambda dx, w, b: (dx, {"w": w / 3, "b": b}), "dw", "multiplying by 3 = batch size: a mean over the batch is too many"),
    (lambda dx, w, b: (dx, {"w": w, "b": b * 42}), "db", "dividing by 42 = input height x width"),
    (lambda dx, w, b: (dx, {"w": w, "b": b / 20}), "db", "multiplying by 20 = output height x width"),
    (lambda dx, w, b: (-dx, {"w": w, "b": b}), "dx", "changing the sign"),
    (lambda dx, w, b: (dx / 11, {"w": w, "b": b}), "dx", "multiplying by 11"),
    (lambda dx, w, b: (dx * 11, {"w": w, "b": b}), "dx", "dividing by 11"),
    (lambda dx, w, b: (dx, {"w": w[::-1, ::-1].copy(), "b": b}), "dw", "reversing axes 0 and 1"),
    (lambda dx, w, b: (dx, {"w": w.swapaxes(0, 1).copy(), "b": b}), "dw", "swapping axes 0 and 1: a transposed array"),
    (lambda dx, w, b: (dx, {"w": w, "b": b[::-1].copy()}), "db", "reversing axis 0"),
    (lambda dx, w, b: (dx * 0, {"w": w, "b": b}), "dx", "yours is 0 everywhere"),
    (lambda dx, w, b: (dx, {"w": w + 0.01 * w**2, "b": b}), "dw", None),
    (lambda dx, w, b: (dx, {"w": w, "b": b + 1e-4}), "db", None),
    (lambda dx, w, b: (dx * np.nan, {"w": w, "b": b}), "dx", None),
])
def test_planted_errors(change, name, diagnosis):
    report = measure(Planted(change), SHAPE)
    assert [finding.name for finding in report.findings if not finding.ok] == [name]
    finding = next(finding for finding in report.findings if finding.name == name)
    assert finding.worst and finding.skipped == 0
    assert finding.diagnosis is None if diagnosis is None else diagnosis in finding.diagnosis
    with pytest.raises(GradientError, match="FAIL") as caught:
        mc.check(Planted(change), SHAPE)
    assert caught.value.exit_code == 1 and str(caught.value.report) == str(report)


def test_one_wrong_entry_among_many():
    def change(dx, w, b):
        w[0, 2, 1, 3] *= 2
        return dx, {"w": w, "b": b}

    finding = found(Planted(change), "dw")
    (index, numeric, yours), = finding.worst
    assert index == (0, 2, 1, 3) and abs(yours / numeric - 2) < 1e-6 and 0.4 < finding.error < 0.5
    assert finding.lines() == [f"FAIL   at w[0,2,1,3]: numeric {numeric:.6g}, yours {yours:.6g}", "no known pattern"]


def test_the_screen():
    dx, dw, diagnosis, db = str(measure(Planted(lambda dx, w, b: (dx, {"w": w * 3, "b": b})), SHAPE)).splitlines()
    assert dx.startswith("  dx   ok     largest relative error ") and db.startswith("  db   ok     largest")
    assert dw.startswith("  dw   FAIL   at w[") and diagnosis.startswith("              diagnosis: equal to ")


class Hidden(mc.Layer):
    """Keeps its input in self."""

    per_image = True

    def forward(self, x, train=False, rng=None):
        self.x = x
        return x**3, None

    def backward(self, dy, cache):
        return 3 * self.x**2 * dy, {}


def test_a_hand_over_in_self_is_found():
    assert "hand over what it needs in the cache" in found(Hidden(), "dx", (4,)).diagnosis


class Kinked(mc.Layer):
    """|x - at|, with the kink exactly on `share` of the entries of the test's input, and a derivative of 0 there."""

    def __init__(self, share, offset=0.0):
        self.share, self.offset, self.at = share, offset, None

    def forward(self, x, train=False, rng=None):
        if self.at is None:
            chosen = np.arange(x.size).reshape(x.shape) < self.share * x.size
            self.at = np.where(chosen, x + self.offset, 100.0)
        return np.abs(x - self.at), np.sign(x - self.at)

    def backward(self, dy, cache):
        return dy * cache * 0.5 if self.share > 1 else dy * np.where(cache == 0, 0.7, cache), {}


@pytest.mark.parametrize("offset", [0.0, 1e-7, 4e-6, 9e-6, -2e-6])
def test_kinks_are_skipped(offset):
    finding = found(Kinked(0.05, offset), "dx", (20, 10, 1), batch=1)
    assert finding.ok and finding.skipped == 10 and finding.checked == 190
    assert "(10 kinks skipped)" in finding.lines()[0]


def test_too_many_kinks_are_a_failure():
    finding = found(Kinked(0.2), "dx", (20, 10, 1), batch=1)
    assert finding.error < 1e-6 and not finding.ok
    assert finding.lines() == ["FAIL   40 kinks skipped of 200 entries: the rest proves too little"]
    with pytest.raises(GradientError):
        mc.check(Kinked(0.2), (20, 10, 1), batch=1)


def test_a_wrong_slope_is_no_kink():
    class Steep(mc.Layer):
        def forward(self, x, train=False, rng=None):
            return np.exp(5 * x), x

        def backward(self, dy, x):
            return 4.99 * np.exp(5 * x) * dy, {}

    finding = found(Steep(), "dx", (30,))
    assert finding.skipped == 0 and not finding.ok


def test_large_arrays_are_sampled():
    finding = found(mc.Dense(40), "dw", (30,), entries=100)
    assert finding.ok and finding.checked == 100
    assert len({place for place, _, _ in finding.entries}) == 100


def test_a_parameter_without_axes():
    class Times(mc.Layer):
        def build(self, input_shape, rng):
            self.params["s"] = np.array(2.0)
            return input_shape

        def forward(self, x, train=False, rng=None):
            return x * self.params["s"], x

        def backward(self, dy, x):
            return dy * self.params["s"], {"s": np.array((dy * x).sum())}

    assert found(Times(), "ds", (4,)).ok


def test_the_layer_itself_is_left_alone():
    net = mc.Sequential([mc.Conv2D(4, 3), mc.BatchNorm()], SHAPE)
    before = net.weights_sha256()
    for layer in net.layers:
        assert mc.check(layer, layer.input_shape).ok
    assert net.weights_sha256() == before and net.layers[0].params["w"].dtype == np.float32


@pytest.mark.parametrize("forward, backward, message", [
    (lambda x: (np.multiply(x, 2, out=x), None), lambda dy: 2 * dy, "changed its input x in place"),
    (lambda x: (2 * x, None), lambda dy: np.multiply(dy, 2, out=dy), "backward changed its input dy in place"),
    (lambda x: (2 * x, None), lambda dy: 2 * dy[0], r"backward returned \(4,\); its input was \(3,4\)"),
    (lambda x: ((2 * x).astype(np.float32), None), lambda dy: 2 * dy, "forward returned float32; its input was float64"),
])
def test_breaches_of_the_contract(forward, backward, message):
    class Rude(mc.Layer):
        def forward(self, x, train=False, rng=None):
            return forward(x)

        def backward(self, dy, cache):
            return backward(dy), {}

    with pytest.raises(LayerError, match=message):
        mc.check(Rude(), (4,))


def test_the_diagnosis_is_silent_when_two_hypotheses_fit():
    symmetric = np.array([[1.0, 2], [2, 1]])                # swapping and reversing both change nothing
    places = list(np.ndindex(2, 2))
    assert diagnose(symmetric * 3, places, np.array([1.0, 2, 2, 1]), {}).startswith("equal to 1e-16 after dividing by 3")
    mirrored = np.array([[2.0, 1], [2, 1]])                 # reversing axis 1, or both axes, gives [[1, 2], [1, 2]]
    assert diagnose(mirrored, places, np.array([1.0, 2, 1, 2]), {}) is None
