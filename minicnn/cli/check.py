"""`minicnn check [RUN | LAYER | FILE.py[:NAME]]`: are the gradients right? Exit code 1 when one is not."""

import difflib
import os

import click

from ..errors import DataError, UsageError
from .opening import open_run
from .options import Common, Verb, common
from .screen import error, printable

MAP, VECTOR = (7, 6, 3), (12,)  # inputs that layers without a net are tried on
NET_ENTRIES = 40  # of each array of a whole net: each costs three passes of its layer in float64


@click.command("check", cls=Verb, short_help="Check the gradients of a layer or a net.")
@click.argument("what", required=False, metavar="[RUN|LAYER|FILE.py[:NAME]]")
@click.option("--net", metavar="FILE.py", help="The file with the own layers of RUN's net.")
@common
def command(shared: Common, what, net):
    """Compare what backward returns with differences of what forward computes, in float64.

    LAYER is a layer of minicnn, as conv2d; FILE.py[:NAME] takes the layers of a file; RUN checks each layer of a
    trained net; without an argument all layers of minicnn are checked.
    """
    from ..gradcheck import measure
    from ..user_file import blame

    file, subjects = _subjects(what, net, shared)
    documents, wrong = [], []
    for title, layer, shape, entries in subjects:
        with blame(file):
            report = measure(layer, shape, seed=shared.seed, entries=entries)
        shared.screen.answer(f"{printable(title)}\n{report}")
        documents.append(_document(title, report))
        if not report.ok:
            wrong.append(title)
    shared.screen.result(documents)
    if wrong:
        error(f"wrong gradients: {', '.join(wrong)}")
        return 1
    return 0


def _subjects(what: str | None, net_file: str | None, shared: Common):
    """(file to blame or None, [(title, layer, input shape, entries)])."""
    from .. import user_file

    path, _, name = (what or "").partition(".py:")
    path = f"{path}.py" if name else path
    if path.endswith(".py"):
        classes = {one.__name__: one for one in user_file.layer_classes(user_file.load(path))}
        if not classes or (name and name not in classes):
            known = f"; it has {', '.join(classes)}" if classes else ""
            raise DataError(f"{path} has no layer{' ' + name if name else ''}{known}")
        chosen = [classes[name]] if name else list(classes.values())
        return path, [_own(one, path) for one in chosen]
    if what is None or not os.path.lexists(what):
        return None, _built_in(what)
    net, _ = open_run(what, net_file, shared)
    return net_file, [
        (f"layer {number} ({layer.name}) {layer!r}", layer, layer.input_shape, NET_ENTRIES)
        for number, layer in enumerate(net.layers, 1)
    ]


def _own(kind, path: str):
    from ..user_file import blame

    try:
        with blame(path):
            return kind.__name__, kind(), MAP, 1000
    except TypeError as problem:
        raise DataError(f"{path}: {kind.__name__}() cannot be made without arguments: {problem}; give them defaults") from None


def _built_in(name: str | None):
    samples = {title.split("(")[0].lower(): (title, layer, shape, 1000) for title, layer, shape in built_in_samples()}
    if name is None:
        return list(samples.values())
    if name.lower() not in samples:
        near = difflib.get_close_matches(name.lower(), samples, 1)
        guess = f" Did you mean {near[0]}?" if near else ""
        raise UsageError(f"No layer, file or run '{name}'.{guess} Layers: {' '.join(samples)}.")
    return [samples[name.lower()]]


def built_in_samples():
    """(title, layer, input shape) of one layer of each kind, with options that exercise it."""
    from .. import layers

    made = [
        (layers.Conv2D(4, 3, stride=2, padding=(1, 0, 0, 1)), MAP),
        (layers.MaxPool2D(2), MAP),
        (layers.AvgPool2D(3, stride=2, padding=1), MAP),
        (layers.GlobalAvgPool2D(), MAP),
        (layers.Dense(5), VECTOR),
        (layers.Flatten(), MAP),
        (layers.ReLU(), MAP),
        (layers.LeakyReLU(), MAP),
        (layers.Sigmoid(), MAP),
        (layers.Tanh(), MAP),
        (layers.GELU(), MAP),
        (layers.Softmax(), VECTOR),
        (layers.Dropout(0.5), MAP),
        (layers.BatchNorm(), MAP),
        (layers.Residual([layers.Conv2D(3, 3, padding="same"), layers.Tanh()]), MAP),
    ]
    return [(repr(layer), layer, shape) for layer, shape in made]


def _document(title: str, report) -> dict:
    return {
        "layer": title,
        "ok": report.ok,
        "gradients": [
            {
                "name": one.name,
                "ok": one.ok,
                "error": one.error if one.error < float("inf") else None,
                "checked": one.checked,
                "skipped": one.skipped,
                "diagnosis": one.diagnosis,
            }
            for one in report.findings
        ],
    }
