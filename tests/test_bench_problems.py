"""Problem strings and shape files: what they mean, how they are spelled, and what is refused with which place."""
from pathlib import Path

import pytest

import minicnn as mc
from minicnn import nets
from minicnn.errors import DataError, UsageError
from minicnn.kernels import SPECS
from minicnn.lab import arguments, costs, operations, problems, shape_files, suite
from minicnn.lab.operations import KERNELS

SHAPES = Path(__file__).parent.parent / "benchmarks" / "shapes"


def shape(text, kernel="conv2d_forward"):
    return problems.parse(text, kernel).shape


def test_a_convolution():
    s = shape('mb32_ic16ih28oc32kh3ph1n"a name"')
    assert [s[a] for a in "NHWCKRSPQ"] == [32, 28, 28, 16, 32, 3, 3, 28, 28]
    assert [s[a] for a in ("stride_h", "stride_w", "pad_top", "pad_left")] == [1, 1, 1, 1]


def test_the_label_is_kept_and_the_spelling_is_the_shortest():
    one = problems.parse('mb32ic16ih28iw28oc32oh28ow28kh3kw3sh1sw1ph1pw1g1dh0dw0n"second, of 4"', "conv2d_forward")
    assert one.text == "mb32ic16ih28oc32kh3ph1" and one.label == "second, of 4"


def test_two_images_are_the_default():
    assert shape("ic1ih4oc1kh1")["N"] == 2


def test_the_padding_follows_from_the_output():
    """224 -> 112 with 7x7 and stride 2: 111 * 2 + 7 - 224 = 5 rows of padding, 2 of them above."""
    s = shape("ic3ih224oc64oh112kh7sh2")
    assert (s["P"], s["Q"], s["pad_top"], s["pad_left"]) == (112, 112, 2, 2)


def test_the_output_follows_from_the_padding():
    """(224 + 2 * 3 - 7) // 2 + 1 = 112."""
    s = shape("ic3ih224oc64kh7sh2ph3")
    assert (s["P"], s["Q"], s["pad_top"], s["pad_left"]) == (112, 112, 3, 3)


def test_padding_below_only():
    s = shape("ic3ih8oc4oh8kh2ph0")
    assert (s["P"], s["Q"], s["pad_top"], s["pad_left"]) == (8, 8, 0, 0)


def test_height_and_width_apart():
    s = shape("ic5ih37iw11oc19kh5kw2sh2sw3ph1pw0")
    assert (s["R"], s["S"], s["stride_h"], s["stride_w"], s["pad_top"], s["pad_left"]) == (5, 2, 2, 3, 1, 0)
    assert (s["P"], s["Q"]) == ((37 + 2 - 5) // 2 + 1, (11 - 2) // 3 + 1)


@pytest.mark.parametrize("text", [
    "ic3ih8iw9oc4oh8ow9kh2kw4", "ic3ih8oc4oh8kh2ph0", "mb1ic2ih9oc3kh4sh3sw2ph2pw1", "ic3ih5oc2oh9kh3ph1"])
def test_the_spelling_means_the_same(text):
    one = problems.parse(text, "conv2d_backward_weight")
    assert problems.parse(one.text, one.kernel) == one


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_has_a_problem_with_arrays_and_costs(kernel):
    one = suite.usual(kernel)
    one = one if one.batch is None else one.with_batch(2)
    args = arguments.build(one)
    assert len(args) == len(SPECS[kernel].parameters)
    assert costs.moved(one) == sum(value.nbytes * (2 if array.updated else 1)
                                   for array, value in zip(SPECS[kernel].arrays, args, strict=False))
    assert costs.flops(one) > 0 and problems.parse(one.text, kernel).text == one.text


def test_costs_by_hand():
    """y 2x3x3x4 of 2x2x3 taps each; x 2x4x4x3, w 2x2x3x4, b 4 and y floats."""
    one = problems.parse("mb2ic3ih4oc4kh2", "conv2d_forward")
    assert costs.flops(one) == 2 * (2 * 3 * 3 * 4) * (2 * 2 * 3)
    assert costs.moved(one) == 4 * (2 * 4 * 4 * 3 + 2 * 2 * 3 * 4 + 4 + 2 * 3 * 3 * 4)
    assert costs.of_roof(2e-9, 100, 10, peak=100, bandwidth=5) == pytest.approx(1.0)     # 1 ns of sums, 2 ns of memory


@pytest.mark.parametrize("text, place, what", [
    ("mb2ic3xx", 7, "expected a key and a number"), ("mb2ic3xx4", 7, "no 'xx'"), ("mb", 1, "expected a key"),
    ("ic3ic3", 4, "given twice"), ("ic0ih3", 1, "ic must lie in 1..2147483647, got 0"), ("ic3ih3g2", 7, "g must be 1, got 2"),
    ("ic3ih3oc3kh3dh1", 13, "dh must be 0, got 1"), ("ic3ih3oc3", 10, "needs kh"), ("ic3ih3oc3kh4", 1, "kh=4 does not fit"),
    ("ic3ih99999999999999999999999", 4, "ih must lie in"), ("", 1, "needs ic ih kh oc"), ('ic3n"x', 4, "expected a key"),
])
def test_mistakes_are_shown_with_their_place(text, place, what):
    with pytest.raises(UsageError) as caught:
        problems.parse(text, "conv2d_forward")
    assert f"character {place}:" in str(caught.value) and what in str(caught.value)
    assert caught.value.hint == f"{text}\n{' ' * (place - 1)}^"


@pytest.mark.parametrize("text, kernel, what", [
    ("ic3ih9oc4kh3", "maxpool2d_forward", "has no 'oc'"), ("mb3ic3oc4", "sgd_update", "has no 'mb'"),
    ("mb3ic3ih4", "softmax_forward", "has no 'ih'"), ("mb3ic3", "dense_forward", "needs oc"),
    ("ic1ih20kh20", "maxpool2d_forward", "more than 255 taps"), ("ic1ih9kh2ph2", "avgpool2d_forward", "must meet the input"),
    ("ic1ih9oc1oh3kh3", "conv2d_forward", "a window is missing"),
])
def test_what_no_kernel_would_take_is_no_problem(text, kernel, what):
    with pytest.raises(UsageError, match=what):
        problems.parse(text, kernel)


@pytest.mark.parametrize("word, chosen, kernels", [
    ("conv", None, ["conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight"]),
    ("conv2d", ["bwd_d"], ["conv2d_backward_input"]), ("maxpool", ["bwd_d"], ["maxpool2d_backward"]),
    ("softmax", None, ["softmax_forward", "softmax_backward"]), ("adam", ["fwd"], ["adam_update"]),
    ("dense_forward", ["bwd_d"], ["dense_forward"]), ("leaky_relu", ["fwd"], ["leaky_relu_forward"]),
])
def test_operations(word, chosen, kernels):
    assert operations.kernels_of(word, chosen) == kernels


def test_every_kernel_belongs_to_an_operation_and_a_direction():
    assert sorted(kernel for word in operations.WORDS for kernel in operations.kernels_of(word)) == sorted(KERNELS)


def test_unknown_operations_and_directions():
    with pytest.raises(UsageError, match="Did you mean maxpool?"):
        operations.kernels_of("maxpol")
    with pytest.raises(UsageError, match="relu has no direction bwd_w"):
        operations.kernels_of("relu", ["bwd_w"])
    with pytest.raises(UsageError, match="no direction 'up'"):
        operations.directions("fwd,up")


def of_file(name):
    lines = shape_files.read(str(SHAPES / name))
    return [problems.parse(text, operations.kernels_of(operation)[0]) for operation, text, _ in lines]


@pytest.mark.parametrize("name", ["nets.txt", "resnet18.txt", "vgg16.txt", "edges.txt"])
def test_the_shape_files_are_read(name):
    found = of_file(name)
    assert len(found) > 8 and all(one.label for one in found) and len({one.text for one in found}) > 8


@pytest.mark.parametrize("net, input_shape, batch", [
    ("lenet", (28, 28, 1), 128), ("mnist", (28, 28, 1), 128), ("tinyvgg", (64, 64, 3), 64), ("vgg-small", (32, 32, 3), 128)])
def test_the_nets_file_holds_the_layers_of_the_nets(net, input_shape, batch):
    written = {one.label.split()[1]: one for one in of_file("nets.txt") if one.label.split()[0] == net}
    layers = {one.name: one for one in mc.Sequential(nets.NETS[net](input_shape, 10), input_shape).layers
              if one.name.split("_")[0] in ("conv2d", "maxpool2d", "dense")}
    assert written.keys() == layers.keys()
    for name, one in written.items():
        s, layer = one.shape, layers[name]
        dense = name.startswith("dense")
        assert s["N"] == batch and layer.input_shape == ((s["C"],) if dense else (s["H"], s["W"], s["C"]))
        assert layer.output_shape == ((s["K"],) if dense else (s["P"], s["Q"], s["C" if "pool" in name else "K"]))
        if name.startswith("conv"):
            assert layer.params["w"].shape == (s["R"], s["S"], s["C"], s["K"])


@pytest.mark.parametrize("text, error, what", [
    ("# nothing\n\n", DataError, "has no problems"), ("convo mb2ic3", DataError, "line 1: no operation 'convo'"),
])
def test_shape_files_that_cannot_be_used(tmp_path, text, error, what):
    path = tmp_path / "mine.txt"
    path.write_text(text)
    with pytest.raises(error, match=what):
        shape_files.read(str(path))


def test_a_shape_file_that_is_missing_or_no_text(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        shape_files.read(str(tmp_path / "none.txt"))
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="not UTF-8 at byte 0"):
        shape_files.read(str(tmp_path / "bytes.txt"))


def test_lines_of_a_shape_file(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text('conv ic1ih3oc1kh1n"# no, a name"  # a comment\nic2ih3oc1kh1n"two words"\n')
    assert [line[:2] for line in shape_files.read(str(path))] == [
        ("conv", 'ic1ih3oc1kh1n"# no, a name"'), (None, 'ic2ih3oc1kh1n"two words"')]
