"""`minicnn train DATA`: train a classifier, or go on with a run."""

import difflib
import math
import os

import click

from ..errors import EnvironmentProblem, UsageError
from ..program import program
from .options import Common, Verb, common, read_config

# Defaults, found by trying on digits (tiny, 8 seeds: 98.6 % of the test part on average), photos of hand signs (vgg) and
# Fashion-MNIST (lenet). Plain SGD at 0.1 stalls vgg, whose head is wide; tiny, which ends in an average, wants more.
LR = {"sgd": 0.02, "adam": 1e-3, "adamw": 1e-3}
LR_TINY = {"sgd": 0.2, "adam": 0.02, "adamw": 0.02}
EPOCHS, EPOCHS_SMALL, EPOCHS_SMALL_TINY = 10, 20, 60
SMALL = 5000  # training images; below, epochs are short, and more of them are needed
WEIGHT_DECAY = 5e-4
LABEL_SMOOTHING = 0.1
FIXED = ("batch", "lr", "optimizer", "size", "split", "out", "name", "seed", "exact")  # cannot change when a run is resumed


@click.command("train", cls=Verb, short_help="Train a classifier.")
@click.argument("data", required=False)
@click.option("--net", metavar="NAME|FILE.py", help="A named net, or a file with net(input_shape, classes).")
@click.option("--epochs", type=click.IntRange(min=1), help="Times to go through the training images.")
@click.option("--batch", type=click.IntRange(min=1), default=64, show_default=True, help="Images a step.")
@click.option("--lr", type=float, metavar="X", help="Learning rate at its highest.")
@click.option("--optimizer", type=click.Choice(list(LR)), default="sgd", show_default=True)
@click.option("--size", type=click.IntRange(1, 4096), help="Side of the images in pixels.")
@click.option("--split", metavar="80,10,10", help="Percent of train, val and test.")
@click.option("--resume", metavar="RUN", help="Go on with a run; DATA may be left out.")
@click.option("--kernel", "kernel_words", multiple=True, metavar="OP=FILE.py:NAME",
              help="Train with an own kernel, once it has been found right; repeatable.")  # fmt: skip
@click.option("--exact", is_flag=True, help="No algorithm that rounds more than the plain sums do (Winograd's).")
@click.option("--out", default="runs", show_default=True, help="Folder of run folders.")
@click.option("--name", help="Name of the run's folder.")
@click.option("--stop-after", type=click.IntRange(min=1), metavar="N", help="Stop after N epochs without improvement.")
@click.option("--config", is_eager=True, expose_value=False, callback=read_config, metavar="FILE.toml",
              help="Options from a file; the command line wins.")  # fmt: skip
@common
@click.pass_context
def command(context, shared: Common, data, resume, kernel_words, **options):
    """Train a classifier on DATA: a folder with one folder per class, IDX files, an .npz file, digits or shapes."""
    from .train_kernels import OwnKernels
    from .train_screen import TrainScreen

    if options["lr"] is not None and not 0 < options["lr"] < math.inf:
        raise UsageError(f"--lr {options['lr']:g} must be a number above 0")
    if resume is not None:
        for name in FIXED:
            if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
                raise UsageError(f"--{name} cannot change when a run is resumed; start a new run for that")
    own, screen = OwnKernels(kernel_words, shared), TrainScreen(shared.screen)
    try:
        if resume is None:
            run = _new_run(shared, screen, own, data, **options)
        else:
            run = _go_on(shared, screen, own, data, resume, options["net"], options["epochs"], options["stop_after"])
    finally:
        screen.stop()
    own.report(run, screen.loop)
    screen.end(run)


def _new_run(shared: Common, screen, own, data, net, epochs, batch, lr, optimizer, size, split, out, name, stop_after, exact):
    from .. import kernels
    from ..data import load
    from ..data.split import shares
    from ..losses import SoftmaxCrossEntropy
    from ..schedules import Cosine
    from ..training import fit
    from ..user_file import blame

    if data is None:
        raise UsageError("train needs DATA: a folder, a file, or digits")
    shares_of_parts = shares(split) if split else (80.0, 10.0, 10.0)
    loaded = load(data, size=size, split=shares_of_parts, command=f"{program()} train")
    built, net_name = _net(net, loaded, shared)
    defaults = LR_TINY if net_name == "tiny" else LR
    step = _optimizer(optimizer, defaults[optimizer] if lr is None else lr)
    _check_memory(built, batch)
    loss = SoftmaxCrossEntropy(label_smoothing=LABEL_SMOOTHING)
    screen.begin(loaded, built, net_name)
    with blame(net if _is_file(net) else None):
        own.check(built, loaded, loss, step)
    source = os.path.abspath(data) if os.path.lexists(data) else data
    origin = {"net": {"name": net_name}, "data": {"source": source, "size": size, "split": list(shares_of_parts)},
              "kernels": own.records(), "exact": exact}
    if epochs is None:
        small = EPOCHS_SMALL_TINY if net_name == "tiny" else EPOCHS_SMALL
        epochs = small if len(loaded.train) < SMALL else EPOCHS
    with blame(net if _is_file(net) else None), kernels.use(exact=exact), own.in_force():
        return fit(
            built,
            loaded,
            epochs,
            batch,
            step,
            Cosine(warmup=1),
            loss,
            callbacks=[screen],
            out=out,
            name=name,
            seed=shared.seed,
            threads=shared.threads,
            stop_after=stop_after,
            origin=origin,
        )


def _go_on(shared: Common, screen, own, data, path, net, epochs, stop_after):
    from .. import kernels, user_file
    from ..run import load_described
    from ..run_folder import read_run_json
    from ..training import resume

    described = read_run_json(path)
    own.refuse_others(described, path)
    layers = []
    if net is not None:
        if not _is_file(net):
            raise UsageError(f"--net {net} cannot change when a run is resumed; only FILE.py may be given, for its layers")
        layers = user_file.layer_classes(user_file.load(net))
    loaded = load_described(described, path, data)
    screen.resumed(loaded, path)
    options = {"epochs": epochs, "stop_after": stop_after, "callbacks": [screen], "threads": shared.threads}
    with user_file.blame(net):
        own.check_resumed(path, loaded, layers)
        with kernels.use(exact=described.get("exact") is True), own.in_force():
            return resume(path, loaded, layers=layers, **options)


def _optimizer(name: str, lr: float):
    from .. import optim

    if name == "sgd":
        return optim.SGD(lr, momentum=0.9, weight_decay=WEIGHT_DECAY)
    return optim.Adam(lr) if name == "adam" else optim.AdamW(lr)


def _net(wanted: str | None, data, shared: Common):
    """(Sequential, its name) for --net; the default depends on the size of the images."""
    from ..nets import NETS, default
    from ..sequential import Sequential
    from ..user_file import layers_of_net

    classes = len(data.classes)
    if wanted is not None and _is_file(wanted):
        name, layers = os.path.basename(wanted).removesuffix(".py"), layers_of_net(wanted, data.shape, classes)
    else:
        name = wanted or default(data.shape)
        if name not in NETS:
            near = difflib.get_close_matches(name, NETS, 1)
            guess = f" Did you mean '{near[0]}'?" if near else ""
            raise UsageError(f"No net '{name}'.{guess} Known: {' '.join(NETS)}, or a .py file.")
        layers = NETS[name](data.shape, classes)
    net = Sequential(layers, data.shape, seed=shared.seed, threads=shared.threads)
    return net, name


def _is_file(net: str | None) -> bool:
    return net is not None and net.endswith(".py")


def _check_memory(net, batch: int) -> None:
    """Refuse what cannot fit before hours are spent; only nets with whole-batch layers keep all of a batch at once."""
    from ..machine import memory
    from ..summary import backprop_bytes

    if not any(layer.whole_batch(True) for layer in net.layers):
        return
    need, there = batch * backprop_bytes(net.layers, net.dtype.itemsize), memory().get("available", math.inf)
    if need > there:
        size = "x".join(map(str, net.input_shape[:2]))
        raise EnvironmentProblem(
            f"batch {batch} at {size} needs about {need / 1e6:.0f} MB, {there / 1e6:.0f} MB are free; try a smaller --batch"
        )
