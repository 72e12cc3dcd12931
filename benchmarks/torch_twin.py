"""The same net in PyTorch: one module for each layer, so that `minicnn.to_torch_state` fits by key and by shape.

    | here                         | there                                                                       |
    |------------------------------|-----------------------------------------------------------------------------|
    | Conv2D, MaxPool2D, AvgPool2D | nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d; behind F.pad where the sides differ |
    | GlobalAvgPool2D              | nn.AdaptiveAvgPool2d(1), nn.Flatten()                                       |
    | Dense                        | nn.Linear                                                                   |
    | BatchNorm(momentum=m)        | nn.BatchNorm1d / 2d(momentum=1 - m): there it is the share of the new batch  |
    | Residual                     | a module with the members `layers` and `shortcut`                           |

x (N,H,W,C) here is (N,C,H,W) there.
"""
from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import minicnn as mc


def twin(net: mc.Sequential, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    """`net` as nn.Sequential, with copies of its weights."""
    model = _modules(net.layers).to(dtype)
    model.load_state_dict({key: torch.from_numpy(array) for key, array in mc.to_torch_state(net).items()})
    return model


def layout(memory_format: str) -> dict:
    """What `.to` and `.contiguous` take: "nchw" is PyTorch's default, "nhwc" is channels_last."""
    return {"memory_format": {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}[memory_format]}


def to_torch(x: np.ndarray) -> torch.Tensor:
    """A batch in PyTorch's axes, as a contiguous copy: (N,H,W,C) -> (N,C,H,W), (N,C) as it is."""
    return torch.from_numpy(np.array(x.transpose(0, 3, 1, 2) if x.ndim == 4 else x, order="C"))


def from_torch(y: torch.Tensor) -> np.ndarray:
    """The way back."""
    array = y.detach().numpy()
    return np.array(array.transpose(0, 2, 3, 1) if array.ndim == 4 else array, order="C")


def _modules(layers) -> nn.Sequential:
    return nn.Sequential(*map(_module, layers))


def _module(layer: mc.Layer) -> nn.Module:
    match layer:
        case mc.Conv2D():
            return _windows(layer, nn.Conv2d, 0.0, layer.input_shape[-1], layer.filters, bias=layer.bias)
        case mc.MaxPool2D():
            return _windows(layer, nn.MaxPool2d, -math.inf)
        case mc.AvgPool2D():
            return _windows(layer, nn.AvgPool2d, 0.0)
        case mc.GlobalAvgPool2D():
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        case mc.Dense():
            return nn.Linear(layer.input_shape[0], layer.units, bias=layer.bias)
        case mc.BatchNorm():
            kind = nn.BatchNorm2d if len(layer.input_shape) == 3 else nn.BatchNorm1d
            return kind(layer.input_shape[-1], eps=layer.eps, momentum=1 - layer.momentum)
        case mc.LeakyReLU():
            return nn.LeakyReLU(layer.slope)
        case mc.Dropout():
            return nn.Dropout(layer.rate)
        case mc.Softmax():
            return nn.Softmax(dim=1)
        case mc.Residual():
            return _Residual(layer)
    plain = {mc.Flatten: nn.Flatten, mc.ReLU: nn.ReLU, mc.Sigmoid: nn.Sigmoid, mc.Tanh: nn.Tanh, mc.GELU: nn.GELU}
    return plain[type(layer)]()


def _windows(layer: mc.Layer, kind: type[nn.Module], pad_value: float, *args, **options) -> nn.Module:
    """A module with the layer's size, stride and padding; the last by F.pad where the module can not do it."""
    (top, bottom), (left, right) = (_sides(layer, axis) for axis in (0, 1))
    alike = top == bottom and left == right and (kind is nn.Conv2d or (2 * top <= layer.size[0] and 2 * left <= layer.size[1]))
    module = kind(*args, kernel_size=layer.size, stride=layer.stride, padding=(top, left) if alike else 0, **options)
    if not alike:                               # a hook and not a module in front, which would shift the keys of the state
        pads = (left, right, top, bottom)
        module.register_forward_pre_hook(lambda _, inputs: functional.pad(inputs[0], pads, value=pad_value))
    return module


def _sides(layer: mc.Layer, axis: int) -> tuple[int, int]:
    """Padding before and after, along the rows (axis 0) or the columns (1)."""
    if layer.padding == "valid":
        return 0, 0
    if layer.padding == "same":                 # TensorFlow's: ceil(extent / stride) outputs, the odd one at the end
        extent, size, stride = layer.input_shape[axis], layer.size[axis], layer.stride[axis]
        total = max(0, (math.ceil(extent / stride) - 1) * stride + size - extent)
        return total // 2, total - total // 2
    return (layer.padding,) * 2 if isinstance(layer.padding, int) else layer.padding[2 * axis:2 * axis + 2]


class _Residual(nn.Module):
    def __init__(self, layer: mc.Residual):
        super().__init__()
        self.layers, self.shortcut = _modules(layer.layers), _modules(layer.shortcut)

    def forward(self, x):
        return self.layers(x) + self.shortcut(x)
