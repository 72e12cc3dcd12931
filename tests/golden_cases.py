"""What the golden files hold: nets of one layer or few, losses, and ten steps of training, as PyTorch computed them.

One list for both sides: `benchmarks/make_golden.py` (needs PyTorch) writes tests/golden/*.npz from it, test_golden.py
(does not) reads them. A case that is added here fails until the files are made again.
"""
from pathlib import Path

import minicnn as mc

FOLDER = Path(__file__).parent / "golden"
IMAGES = 3                      # of a batch


def _block():
    return mc.Residual([mc.Conv2D(5, 3, 2, padding=1, bias=False), mc.BatchNorm(), mc.ReLU(),
                        mc.Conv2D(5, 3, padding=1)], shortcut=[mc.Conv2D(5, 1, 2, bias=False), mc.BatchNorm()])


# name -> (layers, input shape). No bias straight in front of a batch norm: its gradient is 0, and rounding of any sign.
NETS = {
    "conv": (lambda: [mc.Conv2D(3, 3)], (6, 5, 2)),
    "conv_no_bias": (lambda: [mc.Conv2D(4, (2, 3), bias=False)], (5, 4, 3)),
    "conv_1x1": (lambda: [mc.Conv2D(5, 1, stride=2)], (5, 4, 3)),
    "conv_same": (lambda: [mc.Conv2D(4, (4, 3), padding="same")], (5, 6, 2)),
    "conv_same_stride": (lambda: [mc.Conv2D(3, 4, stride=3, padding="same")], (7, 8, 2)),
    "conv_stride": (lambda: [mc.Conv2D(3, (3, 2), stride=(2, 1))], (7, 5, 2)),
    "conv_stride_above_size": (lambda: [mc.Conv2D(3, 2, stride=3)], (8, 9, 2)),
    "conv_padding": (lambda: [mc.Conv2D(3, 3, stride=2, padding=2)], (4, 5, 2)),
    "conv_four_paddings": (lambda: [mc.Conv2D(3, (3, 2), stride=(1, 2), padding=(1, 0, 2, 1))], (5, 6, 2)),
    "conv_one_channel": (lambda: [mc.Conv2D(4, 5, padding="same")], (6, 7, 1)),
    "conv_wide": (lambda: [mc.Conv2D(17, 3, padding=1)], (4, 5, 3)),
    "maxpool": (lambda: [mc.MaxPool2D(2)], (5, 7, 3)),
    "maxpool_overlap": (lambda: [mc.MaxPool2D(3, stride=2, padding=1)], (7, 6, 2)),
    "maxpool_four_paddings": (lambda: [mc.MaxPool2D((3, 2), stride=(2, 1), padding=(2, 1, 0, 1))], (5, 4, 3)),
    "avgpool": (lambda: [mc.AvgPool2D((2, 3))], (5, 7, 3)),
    "avgpool_overlap": (lambda: [mc.AvgPool2D(3, stride=2, padding=1)], (7, 6, 2)),
    "avgpool_four_paddings": (lambda: [mc.AvgPool2D((3, 2), stride=(2, 1), padding=(2, 1, 0, 1))], (5, 4, 3)),
    "global_avgpool": (lambda: [mc.GlobalAvgPool2D()], (3, 4, 5)),
    "dense": (lambda: [mc.Dense(4)], (7,)),
    "dense_no_bias": (lambda: [mc.Dense(3, bias=False)], (5,)),
    "relu": (lambda: [mc.ReLU()], (3, 4, 2)),
    "leaky_relu": (lambda: [mc.LeakyReLU(0.2)], (3, 4, 2)),
    "sigmoid": (lambda: [mc.Sigmoid()], (3, 4, 2)),
    "tanh": (lambda: [mc.Tanh()], (3, 4, 2)),
    "gelu": (lambda: [mc.GELU()], (3, 4, 2)),
    "softmax": (lambda: [mc.Softmax()], (7,)),
    "batchnorm": (lambda: [mc.BatchNorm()], (4, 3, 5)),
    "batchnorm_options": (lambda: [mc.BatchNorm(momentum=0.6, eps=0.1)], (4, 3, 2)),
    "batchnorm_after_dense": (lambda: [mc.Dense(4, bias=False), mc.BatchNorm()], (5,)),
    "residual": (lambda: [mc.Residual([mc.Conv2D(2, 3, padding=1, bias=False), mc.BatchNorm(), mc.Tanh()])], (4, 5, 2)),
    "residual_shortcut": (lambda: [_block()], (6, 5, 3)),
    "net_dropout": (lambda: [mc.Dense(6), mc.Dropout(0.5), mc.ReLU(), mc.Dense(3)], (5,)),
    "net_lenet": (lambda: [mc.Conv2D(3, 5, padding="same"), mc.ReLU(), mc.MaxPool2D(2),
                           mc.Conv2D(5, 3), mc.ReLU(), mc.MaxPool2D(2),
                           mc.Flatten(), mc.Dense(8), mc.ReLU(), mc.Dense(4)], (12, 10, 1)),
    "net_vgg": (lambda: [mc.Conv2D(4, 3, padding="same", bias=False), mc.BatchNorm(), mc.ReLU(), mc.MaxPool2D(2),
                         mc.Conv2D(6, 3, padding="same", bias=False), mc.BatchNorm(), mc.ReLU(), mc.AvgPool2D(2),
                         mc.Flatten(), mc.Dense(4)], (4, 8, 3)),
    "net_resnet": (lambda: [mc.Conv2D(3, 3, padding=1), mc.GELU(), _block(), mc.LeakyReLU(0.1), mc.GlobalAvgPool2D(),
                            mc.Dense(4)], (6, 7, 2)),
}
TRAIN = {"train": True, "eval": False}
# Where training and evaluation differ both are recorded; but for dropout in training, which draws.
BOTH = {"batchnorm", "batchnorm_options", "batchnorm_after_dense", "residual", "residual_shortcut", "net_vgg",
        "net_resnet"}
RUNS = [(name, mode) for name in NETS for mode in TRAIN if name in BOTH or (mode == "eval") == (name == "net_dropout")]

CLASSES = 5
CLASS_WEIGHTS = (0.5, 1.0, 2.0, 0.0, 1.5)
LOSSES = {
    "cross_entropy": mc.SoftmaxCrossEntropy(),
    "cross_entropy_smoothing": mc.SoftmaxCrossEntropy(label_smoothing=0.15),
    "cross_entropy_weights": mc.SoftmaxCrossEntropy(class_weights=CLASS_WEIGHTS),
    "cross_entropy_both": mc.SoftmaxCrossEntropy(label_smoothing=0.3, class_weights=CLASS_WEIGHTS),
    "mean_squared_error": mc.MeanSquaredError(),
}

# name -> (optimizer, loss): ten steps of the net below, on batches of BATCH images.
STEPS, BATCH, TRAINED_SHAPE = 10, 5, (5, 6, 2)
TRAINING = {
    "sgd": (mc.SGD(0.1), mc.SoftmaxCrossEntropy()),
    "momentum": (mc.SGD(0.05, momentum=0.9), mc.SoftmaxCrossEntropy()),
    "nesterov": (mc.SGD(0.05, momentum=0.8, nesterov=True), mc.SoftmaxCrossEntropy()),
    "weight_decay": (mc.SGD(0.05, momentum=0.9, weight_decay=0.02), mc.SoftmaxCrossEntropy(0.1, CLASS_WEIGHTS)),
    "nesterov_weight_decay": (mc.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=0.02), mc.MeanSquaredError()),
    "adam": (mc.Adam(0.01), mc.SoftmaxCrossEntropy()),
    "adam_weight_decay": (mc.Adam(0.01, beta1=0.8, beta2=0.99, eps=1e-6, weight_decay=0.05), mc.SoftmaxCrossEntropy()),
    "adamw": (mc.AdamW(0.01, weight_decay=0.1), mc.SoftmaxCrossEntropy()),
}


def trained_net(dtype="float64") -> mc.Sequential:
    """Convolutions, batch norm, a pool, a dense layer."""
    layers = [mc.Conv2D(6, 3, padding=1, bias=False), mc.BatchNorm(), mc.ReLU(), mc.MaxPool2D(2),
              mc.Conv2D(4, 2), mc.Tanh(), mc.Flatten(), mc.Dense(CLASSES)]
    return mc.Sequential(layers, TRAINED_SHAPE, dtype=dtype)


# The counterparts of the nets that make_golden.py writes by hand in PyTorch's own terms.
STATES = {
    "conv_batchnorm_dense": (lambda: [
        mc.Conv2D(4, 3, padding=1), mc.BatchNorm(), mc.ReLU(), mc.MaxPool2D(2), mc.Conv2D(5, (2, 3)), mc.GELU(),
        mc.Flatten(), mc.Dense(6), mc.Tanh(), mc.Dense(3)], (7, 11, 2)),
    "batchnorm_between_flatten_and_dense": (lambda: [
        mc.Conv2D(4, 2, bias=False), mc.Flatten(), mc.BatchNorm(), mc.ReLU(), mc.Dense(3, bias=False)], (4, 3, 2)),
}


def gradients(net: mc.Sequential, grads: list) -> dict:
    """What `net.backward` returned, under the names of `net.tensors()`: "params/conv2d_1/w"."""
    return {f"params/{key if '/' in key else f'{layer.name}/{key}'}": grad
            for layer, of_layer in zip(net.layers, grads, strict=True) for key, grad in of_layer.items()}
