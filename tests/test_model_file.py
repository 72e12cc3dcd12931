"""Model files: a net comes back as it was; whatever the document says that makes no net is refused on one line."""

import json
import os
import pickle
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_bytes import resign, split, with_document

from minicnn import model_file, nets, tensor_file
from minicnn.errors import DataError, EnvironmentProblem, MinicnnError
from minicnn.layers import Conv2D, Dense, Flatten, Layer, ReLU
from minicnn.sequential import Sequential

PREPROCESSING = {"size": [6, 5], "channels": 1, "mean": [0.5], "std": [0.25], "resize": "bicubic", "white": 1.0}


def small_net(dtype="float32", classes=("a", "b", "c")):
    net = Sequential([Conv2D(2, 3), ReLU(), Flatten(), Dense(3)], (6, 5, 1), dtype=dtype)
    net.classes, net.preprocessing = list(classes), PREPROCESSING
    return net


@pytest.fixture(scope="module")
def blob(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m"
    small_net().save(path)
    return path.read_bytes()


def refused(path, content: bytes, match: str):
    path.write_bytes(content)
    with pytest.raises(DataError, match=match) as caught:
        model_file.open_model(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", nets.NETS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_named_net_comes_back(tmp_path, name, dtype):
    net = Sequential(nets.NETS[name]((24, 20, 3), 4), (24, 20, 3), dtype=dtype, seed=7)
    net.save(tmp_path / "m")
    again = model_file.open_model(tmp_path / "m")
    x = np.random.default_rng(1).standard_normal((3, 24, 20, 3))
    assert again.dtype == net.dtype and again.weights_sha256() == net.weights_sha256()
    assert np.array_equal(again.predict(x), net.predict(x))
    again.save(tmp_path / "n")
    assert (tmp_path / "n").read_bytes() == (tmp_path / "m").read_bytes()


def test_classes_and_preprocessing_come_back(tmp_path):
    small_net().save(tmp_path / "m")
    again = model_file.open_model(tmp_path / "m")
    assert (again.classes, again.preprocessing) == (["a", "b", "c"], PREPROCESSING)


def test_a_run_folder_stands_for_its_model(tmp_path):
    small_net().save(tmp_path / "model.safetensors")
    assert model_file.open_model(tmp_path).classes == ["a", "b", "c"]


class Twice(Layer):
    per_image = True

    def build(self, input_shape, rng):
        self.params["g"] = rng.standard_normal(input_shape[-1]).astype(np.float32)
        return input_shape

    def forward(self, x, train=False, rng=None):
        return x * self.params["g"], x


def test_own_layers_must_be_handed_over(tmp_path):
    net = Sequential([Twice(), Flatten(), Dense(2)], (2, 2, 1))
    net.save(tmp_path / "m")
    with pytest.raises(DataError, match="no layer 'Twice'") as caught:
        model_file.open_model(tmp_path / "m")
    assert "--net FILE.py" in caught.value.hint
    assert model_file.open_model(tmp_path / "m", layers=[Twice]).weights_sha256() == net.weights_sha256()


def edit(**changes):
    return lambda document: document.update(changes)


def edit_layer(number, **changes):
    return lambda document: document["layers"][number].update(changes)


DOCUMENTS = {
    "newer": (edit(format=3, minicnn="0.7"), r"made by 0\.7 \(format 3\); this is .* \(format 1\)\. Update minicnn\."),
    "format 0": (edit(format=0), "format 0 never existed"),
    "format text": (edit(format="1"), "'format' must be int"),
    "format bool": (edit(format=True), "'format' must be int"),
    "kind": (edit(kind="checkpoint"), "a checkpoint, not a model file"),
    "other kind": (edit(kind="a\nb"), "something else, not a model file"),
    "unknown key": (edit(code="import os"), "unknown key 'code'"),
    "missing key": (lambda document: document.pop("classes") and None, "'classes' is missing"),
    "layers": (edit(layers="Conv2D"), "'layers' must be list"),
    "no layers": (edit(layers=[]), "'layers' must be 1 to"),
    "many layers": (edit(layers=[{"layer": "ReLU"}] * 10_001), "'layers' must be 1 to"),
    "layer text": (edit(layers=["Conv2D"]), "a layer must be an object"),
    "layer unknown": (edit(layers=[{"layer": "os.system"}]), "no layer 'os.system'"),
    "layer list": (edit(layers=[{"layer": ["ReLU"]}]), "no layer"),
    "layer nothing": (edit(layers=[{}]), "no layer None"),
    "argument": (edit_layer(3, code="x"), "Dense: .*unexpected keyword argument 'code'"),
    "missing argument": (edit(layers=[{"layer": "Dense"}]), "Dense: .*units"),
    "stride 0": (edit_layer(0, stride=0), "Conv2D: stride must lie in"),
    "filters text": (edit_layer(0, filters="8"), "Conv2D: filters must be an integer"),
    "huge pads": (edit_layer(0, padding=10**9), "Conv2D: padding must lie in"),
    "kernel above map": (edit_layer(0, size=7), r"After conv 1 the map would be 0x0 \(input 6x5\)"),
    "channels": (edit_layer(0, filters=3), r"has shape .*net needs"),
    "units": (edit_layer(3, units=4), "3 classes, but the net gives 4 outputs"),
    "layer gone": (lambda document: document["layers"].pop(2) and None, r"layer 3 Dense\(3\) got \(N,4,3,2\)"),
    "input shape": (edit(input_shape=[6, 6, 1]), r"preprocessing gives images \(6, 5, 1\), the net takes"),
    "input 0": (edit(input_shape=[0, 5, 1]), "'input_shape' must be a list of positive integers"),
    "input bool": (edit(input_shape=[True, 5, 1]), "'input_shape' must be"),
    "input rank": (edit(input_shape=[6, 5]), "input_shape must be"),
    "input huge": (edit(input_shape=[2**30, 2**30, 1], preprocessing=None), "GB for one image|too big"),
    "dtype": (edit(dtype="float16"), "'dtype' must be float32 or float64"),
    "dtype of weights": (edit(dtype="float64"), "is float32, the net is float64"),
    "one class less": (edit(classes=["a", "b"]), "2 classes, but the net gives 3 outputs"),
    "class number": (edit(classes=["a", "b", 3]), "'classes' must be a list of texts"),
    "class long": (edit(classes=["a", "b", "c" * 256]), "'classes' must be a list of texts"),
    "preprocessing": (edit(preprocessing={**PREPROCESSING, "size": [0, 5]}), "size cannot be"),
    "preprocessing key": (edit(preprocessing={"code": 1}), "exactly the keys"),
}


@pytest.mark.parametrize("lie", DOCUMENTS)
def test_documents_that_lie(tmp_path, blob, lie):
    change, match = DOCUMENTS[lie]
    refused(tmp_path / "m", with_document(blob, change), match)


def test_costs_are_judged_before_memory_is_taken(tmp_path, blob):
    """4096 x 4096 windows on large maps: no weights of that kind exist, and none are made room for."""
    big = [{"layer": "Conv2D", "filters": 2**20, "size": 4096, "padding": "same", "stride": 1, "bias": True}]
    refused(tmp_path / "m", with_document(blob, edit(layers=big, classes=None, preprocessing=None)), "multiply-adds|GB")


def test_deep_residuals(tmp_path, blob):
    spec = {"layer": "ReLU"}
    for _ in range(200):
        spec = {"layer": "Residual", "layers": [spec], "shortcut": []}
    refused(tmp_path / "m", with_document(blob, edit(layers=[spec])), "recursion|nested|deep|tensors")


def test_tensors_that_are_missing_or_too_many(tmp_path, blob):
    tensors = small_net().tensors()
    description = model_file.describe(small_net())
    extra = tensors | {"params/dense_9/w": np.zeros(3, np.float32)}
    missing = {name: array for name, array in tensors.items() if name != "params/dense_1/b"}
    for wrong, match in ((extra, "unknown .*dense_9"), (missing, "missing .*dense_1/b")):
        model_file.write(tmp_path / "m", description, wrong)
        with pytest.raises(DataError, match=match):
            model_file.open_model(tmp_path / "m")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_weights(tmp_path, value):
    net = small_net()
    net.layers[0].params["w"][0, 0, 0, 0] = value
    net.save(tmp_path / "m")
    with pytest.raises(DataError, match="tensor params/conv2d_1/w has 1 non-finite values"):
        model_file.open_model(tmp_path / "m")


ODD_NAMES = ["../../etc/passwd", "</script>", "a\nb", "\x1b[2J", "\u202egnp", "", "", "é", "\0", "'\"\\"]


def test_odd_class_names_are_only_names(tmp_path):
    net = Sequential([Flatten(), Dense(len(ODD_NAMES))], (2, 2, 1))
    net.classes = list(ODD_NAMES)
    net.save(tmp_path / "m")
    assert model_file.open_model(tmp_path / "m").classes == ODD_NAMES
    assert os.listdir(tmp_path) == ["m"]


def test_a_class_with_the_checksums_place(tmp_path):
    net = small_net(classes=['"sha256":"' + "0" * 64 + '"', '\\"sha256\\":\\"', "c"])
    net.save(tmp_path / "m")
    assert model_file.open_model(tmp_path / "m").classes == net.classes


def test_a_pickle_in_place_of_a_model_is_not_run(tmp_path):
    class Mine:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "owned"),))

    refused(tmp_path / "m", pickle.dumps(Mine(), protocol=4) + bytes(100), "looks like a pickle")
    assert os.listdir(tmp_path) == ["m"]


@pytest.mark.parametrize("target", ["folder", "missing/m", "file/m"])
def test_impossible_targets(tmp_path, target):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("old")
    with pytest.raises(EnvironmentProblem, match="cannot write"):
        small_net().save(tmp_path / target)
    assert (tmp_path / "file").read_text() == "old" and sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_saving_over_itself(tmp_path):
    small_net().save(tmp_path / "m")
    shutil.copy(tmp_path / "m", tmp_path / "copy")
    model_file.open_model(tmp_path / "m").save(tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == (tmp_path / "copy").read_bytes()


NUMBERS = st.integers(-2, 2**40) | st.booleans() | st.none() | st.text(max_size=3) | st.floats(allow_nan=False)
PAIRS = st.lists(NUMBERS, max_size=4)
SPECS = st.fixed_dictionaries(
    {"layer": st.sampled_from(["Conv2D", "MaxPool2D", "Dense", "Flatten", "Dropout", "BatchNorm", "Residual", "Softmax"])},
    optional={name: NUMBERS | PAIRS for name in ("filters", "size", "stride", "padding", "units", "rate", "eps", "layers")},
)


@settings(max_examples=150)
@given(specs=st.lists(SPECS, min_size=1, max_size=4), shape=st.lists(st.integers(1, 2**33), min_size=1, max_size=4))
def test_only_our_errors_escape(tmp_path_factory, blob, specs, shape):
    path = tmp_path_factory.getbasetemp() / "fuzzed-model"
    path.write_bytes(with_document(blob, edit(layers=specs, input_shape=shape, classes=None, preprocessing=None)))
    with pytest.raises(MinicnnError) as caught:
        model_file.open_model(path)
    assert "\n" not in str(caught.value)


def test_a_file_signed_for_another_reader(tmp_path, blob):
    """The checksum is over the whole file: moving two equal tensors' bytes is noticed, signing again is not."""
    header, data = split(blob)
    assert resign(blob) == blob
    swapped = blob[:-8] + data[-4:] + data[-8:-4]
    refused(tmp_path / "m", swapped, "checksum mismatch")
    tensor_file.read(_write(tmp_path / "n", resign(swapped)))
    assert json.loads(header["__metadata__"]["minicnn"])["kind"] == "model"


def _write(path, content):
    path.write_bytes(content)
    return path
