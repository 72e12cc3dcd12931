"""The same net as an ONNX graph, for ONNX Runtime: a node for each layer, and a softmax at the end.

    session = onnxruntime.InferenceSession(graph(net, images=128).SerializeToString())
    y, = session.run(None, {"x": x.transpose(0, 3, 1, 2)})

    Conv2D -> Conv    BatchNorm -> BatchNormalization    MaxPool2D -> MaxPool    AvgPool2D -> AveragePool
    Dense -> Gemm with transB    Flatten, ReLU, Softmax -> the same

ONNX has PyTorch's axes, (N,C,H,W) and (K,C,R,S), so the weights are those of `minicnn.to_torch_state`, in which the rows
behind a Flatten already stand in (c, h, w) order. The batch is a fixed number, so that the runtime may plan its memory.
"""
from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

import minicnn as mc
from minicnn.layers.windows import pads

OPSET, IR_VERSION = 21, 10          # what ONNX Runtime reads since 1.20; newer ones add nothing that these nets use


def graph(net: mc.Sequential, images: int) -> ModelProto:
    """`net` with copies of its weights, for batches of `images`: x (N,C,H,W) -> probabilities (N, classes)."""
    state = mc.to_torch_state(net)
    nodes, names = [], ["x"]
    layers = net.layers if isinstance(net.layers[-1], mc.Softmax) else (*net.layers, mc.Softmax())
    for number, layer in enumerate(layers):
        kind, weights, settings = _node(layer)
        keys = [f"{number}.{name}" for name in weights]
        nodes.append(helper.make_node(kind, [names[-1], *(key for key in keys if key in state)], [f"y{number}"], **settings))
        names.append(f"y{number}")
    used = {key for node in nodes for key in node.input}
    constants = [numpy_helper.from_array(np.ascontiguousarray(array), key) for key, array in state.items() if key in used]
    H, W, C = net.input_shape
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [images, C, H, W])
    y = helper.make_tensor_value_info(names[-1], TensorProto.FLOAT, [images, *net.output_shape])
    made = helper.make_graph(nodes, "minicnn", [x], [y], constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def _node(layer: mc.Layer) -> tuple[str, tuple[str, ...], dict]:
    """The operator, the names of its weights in order, its attributes."""
    match layer:
        case mc.Conv2D():
            return "Conv", ("weight", "bias"), _windows(layer)
        case mc.MaxPool2D():
            return "MaxPool", (), _windows(layer)
        case mc.AvgPool2D():
            return "AveragePool", (), _windows(layer) | {"count_include_pad": 1}
        case mc.BatchNorm():
            return "BatchNormalization", ("weight", "bias", "running_mean", "running_var"), {"epsilon": layer.eps}
        case mc.Dense():
            return "Gemm", ("weight", "bias"), {"transB": 1}
        case mc.Softmax():
            return "Softmax", (), {"axis": 1}
        case mc.ReLU():
            return "Relu", (), {}
        case mc.Flatten():
            return "Flatten", (), {}
    raise ValueError(f"{layer!r} has no node here; add it to benchmarks/onnx_twin.py")


def _windows(layer: mc.Layer) -> dict:
    top, bottom, left, right = pads(layer.padding, *layer.input_shape[:2], layer.size, layer.stride)
    return {"kernel_shape": layer.size, "strides": layer.stride, "pads": (top, left, bottom, right)}
