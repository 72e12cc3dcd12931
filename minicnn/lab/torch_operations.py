"""The operation of PyTorch that does what a kernel does, for each kernel that has one.

A builder takes torch and the arguments by name (arrays as tensors), and returns a call without arguments, or a pair of the
call and a function from its result to the outputs.
"""
from __future__ import annotations


def _window(a, pool=False):
    """Positional arguments of pools and convolutions: size of a pool, stride, padding."""
    place = [[a["stride_h"], a["stride_w"]], [a["pad_top"], a["pad_left"]]]
    return [[a["size_h"], a["size_w"]], *place] if pool else place


def _conv_forward(torch, a):
    run, place = torch.nn.functional.conv2d, _window(a)
    return lambda: run(a["x"], a["w"], a["b"], *place)


def _conv_backward_input(torch, a):
    run, x = _conv_backward(torch, a, [True, False, False]), torch.empty_like(a["dx"])
    return (lambda: run(x, a["w"])), lambda result: result[:1]


def _conv_backward_weight(torch, a):
    run, w = _conv_backward(torch, a, [False, True, True]), torch.empty_like(a["dw"])
    return (lambda: run(a["x"], w)), lambda result: result[1:]


def _conv_backward(torch, a, wanted):
    run, place, dy = torch.ops.aten.convolution_backward, _window(a), a["dy"]
    return lambda x, w: run(dy, x, w, [dy.shape[1]], *place, [1, 1], False, [0, 0], 1, wanted)


def _maxpool_forward(torch, a):
    """PyTorch names the pixel of the image where the maximum stands, we the tap of the window."""
    run, place, columns = torch.ops.aten.max_pool2d_with_indices, _window(a, pool=True), a["x"].shape[3]

    def outputs(result):
        top, left = _corners(torch, a, result[1].shape[2:])
        return result[0], (result[1] // columns - top) * a["size_w"] + result[1] % columns - left

    return (lambda: run(a["x"], *place)), outputs


def _maxpool_backward(torch, a):
    run, place, x = torch.ops.aten.max_pool2d_with_indices_backward, _window(a, pool=True), torch.empty_like(a["dx"])
    top, left = _corners(torch, a, a["dy"].shape[2:])
    tap = a["argmax"].long()
    pixel = (tap // a["size_w"] + top) * x.shape[3] + tap % a["size_w"] + left
    return lambda: run(a["dy"], x, *place, [1, 1], False, pixel)


def _corners(torch, a, places):
    """First row and column of every window, ready to be added to (N, C, P, Q)."""
    return (torch.arange(places[0])[:, None] * a["stride_h"] - a["pad_top"],
            torch.arange(places[1]) * a["stride_w"] - a["pad_left"])


def _avgpool_forward(torch, a):
    run, place = torch.nn.functional.avg_pool2d, _window(a, pool=True)
    return lambda: run(a["x"], *place)


def _avgpool_backward(torch, a):
    run, place, x = torch.ops.aten.avg_pool2d_backward, _window(a, pool=True), torch.empty_like(a["dx"])
    return lambda: run(a["dy"], x, *place, False, True, None)


def _global_forward(torch, a):
    return lambda: a["x"].mean((2, 3))


def _global_backward(torch, a):
    shape = a["dx"].shape
    return lambda: (a["dy"] / (shape[2] * shape[3]))[:, :, None, None].expand(shape).contiguous()


def _dense_forward(torch, a):
    return lambda: torch.addmm(a["b"], a["x"], a["w"])


def _dense_backward_input(torch, a):
    return lambda: a["dy"] @ a["w"].T


def _dense_backward_weight(torch, a):
    return (lambda: (a["x"].T @ a["dy"], a["dy"].sum(0))), lambda result: result


def _plain(name, *arguments):
    """An operation of torch.ops.aten on some of the arguments; what is no name stands for itself."""
    def build(torch, a):
        run = getattr(torch.ops.aten, name)
        given = [a[one] if isinstance(one, str) else one for one in arguments]
        return lambda: run(*given)
    return build


def _relu_backward(torch, a):
    run = torch.ops.aten.threshold_backward
    return lambda: run(a["dy"], a["y"], 0)


def _softmax_backward(torch, a):
    run = torch.ops.aten._softmax_backward_data
    return lambda: run(a["dy"], a["y"], 1, torch.float32)


def _cross_entropy_forward(torch, a):
    run, options = torch.nn.functional.cross_entropy, {"reduction": "none", "label_smoothing": a["label_smoothing"]}
    return lambda: run(a["x"], a["labels"], a["weights"], **options)


def _mse_forward(torch, a):
    run = torch.nn.functional.mse_loss
    return lambda: run(a["x"], a["target"], reduction="none").mean(1)


def _batchnorm_forward(torch, a):
    run = torch.nn.functional.batch_norm
    return lambda: run(a["x"], a["mean"], a["var"], a["gamma"], a["beta"], False, 0.0, a["eps"])


BUILDERS = {
    "conv2d_forward": _conv_forward, "conv2d_backward_input": _conv_backward_input,
    "conv2d_backward_weight": _conv_backward_weight, "maxpool2d_forward": _maxpool_forward,
    "maxpool2d_backward": _maxpool_backward, "avgpool2d_forward": _avgpool_forward, "avgpool2d_backward": _avgpool_backward,
    "global_avgpool2d_forward": _global_forward, "global_avgpool2d_backward": _global_backward,
    "dense_forward": _dense_forward, "dense_backward_input": _dense_backward_input,
    "dense_backward_weight": _dense_backward_weight,
    "relu_forward": _plain("relu", "x"), "relu_backward": _relu_backward,
    "leaky_relu_forward": _plain("leaky_relu", "x", "slope"),
    "leaky_relu_backward": _plain("leaky_relu_backward", "dy", "x", "slope", False),
    "sigmoid_forward": _plain("sigmoid", "x"), "sigmoid_backward": _plain("sigmoid_backward", "dy", "y"),
    "tanh_forward": _plain("tanh", "x"), "tanh_backward": _plain("tanh_backward", "dy", "y"),
    "gelu_forward": _plain("gelu", "x"), "gelu_backward": _plain("gelu_backward", "dy", "x"),
    "softmax_forward": _plain("softmax", "x", 1), "softmax_backward": _softmax_backward,
    "softmax_cross_entropy_forward": _cross_entropy_forward, "mean_squared_error_forward": _mse_forward,
    "batchnorm_forward": _batchnorm_forward,
}
