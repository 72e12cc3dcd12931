"""Writes tests/golden/*.npz: what PyTorch computes for the cases of tests/golden_cases.py, in float64 from float32 inputs.

    python benchmarks/make_golden.py

| file         | holds, for each case                                                                                |
|--------------|-----------------------------------------------------------------------------------------------------|
| nets.npz     | weights, x and dy; y, dx, the gradient of each weight; running statistics afterwards                |
| losses.npz   | logits and labels; the batch's loss (reduction="mean") and its gradient                             |
| training.npz | first weights and batches; the losses of ten steps in float64 and float32; the weights after them   |
| states.npz   | the state of a stock nn.Sequential with PyTorch's own first weights; inputs and outputs             |

Each case is one structured array, whose fields are the arrays: a zip entry for each of 600 small arrays would double the
files. All but the states lie in minicnn's layouts. The same version of PyTorch writes the same bytes again.
"""
from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch_twin import from_torch, to_torch, twin

import minicnn as mc

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import golden_cases as cases  # noqa: E402


def main() -> None:
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)                    # PyTorch's sums depend on the number of threads
    cases.FOLDER.mkdir(exist_ok=True)
    total = 0
    for name, make in (("nets", nets), ("losses", losses), ("training", training), ("states", states)):
        path = cases.FOLDER / f"{name}.npz"
        np.savez_compressed(path, **make())
        total += path.stat().st_size
        print(f"{path.name}: {path.stat().st_size:,} bytes")
    print(f"{total:,} bytes from PyTorch {torch.__version__}")


def record(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Arrays of any shapes and types as one: record(arrays)["x"] is arrays["x"]."""
    packed = np.zeros((), [(name, array.dtype, array.shape) for name, array in arrays.items()])
    for name, array in arrays.items():
        packed[name] = array
    return packed


def normal(rng, *shape) -> np.ndarray:
    """Standard normal values that float32 can hold."""
    return rng.standard_normal(shape).astype(np.float32)


# ---- nets ----

def nets() -> dict[str, np.ndarray]:
    arrays, rng = {}, np.random.default_rng(0)
    for name, (make, shape) in cases.NETS.items():
        net = mc.Sequential(make(), shape, dtype="float64")
        weights = {key: first_values(key, array, rng) for key, array in net.tensors().items()}
        net.load_tensors(weights)
        x, dy = normal(rng, cases.IMAGES, *shape), normal(rng, cases.IMAGES, *net.output_shape)
        arrays[name] = record({"x": x, "dy": dy} | weights)
        for mode in (mode for case, mode in cases.RUNS if case == name):
            arrays[f"{name}/{mode}"] = record(through_torch(net, x, dy, cases.TRAIN[mode]))
    return arrays


def first_values(key: str, array: np.ndarray, rng) -> np.ndarray:
    """Weights off their plain first values: none is 0 or 1, variances are positive."""
    noise = rng.uniform(0.1, 0.4, array.shape) if key.endswith("/var") else 0.3 * rng.standard_normal(array.shape)
    return (array + noise).astype(np.float32)


def through_torch(net: mc.Sequential, x: np.ndarray, dy: np.ndarray, train: bool) -> dict[str, np.ndarray]:
    """y and dx, and under the names of net.tensors() the gradients of the params and the state after the pass."""
    model = twin(net, torch.float64).train(train)
    x = to_torch(x).double().requires_grad_()
    y = model(x)
    y.backward(to_torch(dy).double())
    after = model.state_dict() | {key: param.grad for key, param in model.named_parameters()}
    return {"y": from_torch(y), "dx": from_torch(x.grad)} | in_our_layout(net, after)


def in_our_layout(net: mc.Sequential, state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    before = {key: array.copy() for key, array in net.tensors().items()}
    mc.from_torch_state(net, {key: tensor.numpy() for key, tensor in state.items()})
    after = {key: array.copy() for key, array in net.tensors().items()}
    net.load_tensors(before)
    return after


# ---- losses ----

def torch_loss(loss, dtype: torch.dtype) -> nn.Module:
    if isinstance(loss, mc.MeanSquaredError):
        return nn.MSELoss()
    weights = None if loss.class_weights is None else torch.tensor(loss.class_weights, dtype=dtype)
    return nn.CrossEntropyLoss(weight=weights, label_smoothing=loss.label_smoothing)


def losses() -> dict[str, np.ndarray]:
    arrays, rng = {}, np.random.default_rng(1)
    for name, loss in cases.LOSSES.items():
        logits = 3 * normal(rng, 7, cases.CLASSES)
        squares = isinstance(loss, mc.MeanSquaredError)
        labels = normal(rng, 7, cases.CLASSES) if squares else rng.integers(0, cases.CLASSES, 7)
        given = torch.from_numpy(logits).double().requires_grad_()
        target = torch.from_numpy(labels)
        value = torch_loss(loss, torch.float64)(given, target.double() if squares else target)
        value.backward()
        found = {"loss": value.detach().numpy(), "dlogits": given.grad.numpy()}
        arrays[name] = record({"logits": logits, "labels": labels} | found)
    return arrays


# ---- ten steps ----

def torch_optimizer(optimizer, params) -> torch.optim.Optimizer:
    config = optimizer.config()
    kind = getattr(torch.optim, config.pop("optimizer"))
    if "beta1" in config:
        config["betas"] = (config.pop("beta1"), config.pop("beta2"))
    return kind(params, **config)


def training() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    images = normal(rng, cases.STEPS, cases.BATCH, *cases.TRAINED_SHAPE)
    labels = rng.integers(0, cases.CLASSES, (cases.STEPS, cases.BATCH))
    labels[:, 0] = 0                            # class 3 has weight 0: no batch of nothing else
    net = cases.trained_net()
    weights = {key: array.astype(np.float32) for key, array in net.tensors().items()}
    arrays = {"images": images, "labels": labels, "weights": record(weights)}
    for name, (optimizer, loss) in cases.TRAINING.items():
        found = {}
        for kind, dtype in (("float32", torch.float32), ("float64", torch.float64)):
            model = twin(net, dtype).train()
            moves = torch_optimizer(optimizer, model.parameters())
            found[kind] = ten_steps(model, moves, torch_loss(loss, dtype), images, labels)
        arrays[name] = record(found | in_our_layout(net, model.state_dict()))
    return arrays


def ten_steps(model, optimizer, loss, images, labels) -> np.ndarray:
    found, dtype = [], next(model.parameters()).dtype
    for x, target in zip(images, labels, strict=True):
        target = torch.from_numpy(target)
        if isinstance(loss, nn.MSELoss):
            target = nn.functional.one_hot(target, cases.CLASSES).to(dtype)
        optimizer.zero_grad()
        value = loss(model(to_torch(x).to(dtype)), target)
        value.backward()
        optimizer.step()
        found.append(value.item())
    return np.array(found)


# ---- states ----

def stock(name: str) -> nn.Sequential:
    """The nets of cases.STATES as a user of PyTorch writes them."""
    if name == "conv_batchnorm_dense":
        return nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, (2, 3)), nn.GELU(),
            nn.Flatten(), nn.Linear(5 * 2 * 3, 6), nn.Tanh(), nn.Linear(6, 3))
    return nn.Sequential(
        nn.Conv2d(2, 4, 2, bias=False), nn.Flatten(), nn.BatchNorm1d(4 * 3 * 2), nn.ReLU(), nn.Linear(4 * 3 * 2, 3, bias=False))


def states() -> dict[str, np.ndarray]:
    arrays, rng = {}, np.random.default_rng(3)
    torch.manual_seed(0)
    for name, (make, shape) in cases.STATES.items():
        model, x = stock(name), normal(rng, cases.IMAGES, *shape)
        model.train()
        model(to_torch(normal(rng, 8, *shape)))                 # moves the running statistics off 0 and 1
        model.eval()
        state = {key: tensor.numpy().copy() for key, tensor in model.state_dict().items()}
        arrays[name] = record({"x": x, "y": from_torch(model.double()(to_torch(x).double()))} | state)
        ours = mc.to_torch_state(mc.Sequential(make(), shape))          # PyTorch must take its keys and shapes, too
        stock(name).load_state_dict({key: torch.from_numpy(array) for key, array in ours.items()})
    return arrays


if __name__ == "__main__":
    main()
