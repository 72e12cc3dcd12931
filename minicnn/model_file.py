"""The model file: weights, layers, classes and preprocessing of a net; the only file one has to copy.

The container, its checksum and its byte-level checks are tensor_file.py's. Its document is

    {"kind": "model", "format": 1, "minicnn": "0.1.0",
     "layers": [{"layer": "Conv2D", "filters": 16, ...}, ...], "input_shape": [8, 8, 1], "dtype": "float32",
     "classes": ["0", "1", ...] or null, "preprocessing": {...} or null, "training": {...} or null}

A file names layers of layers.REGISTRY and nothing else: it can not make minicnn import or run anything. A net with own
layers opens only where their classes are handed over. The layers are built without memory first, and their shapes and
costs are judged; only then do the weights, which were read with the file, take their places.
"""

import json
import os
from pathlib import Path

from . import __version__, summary, tensor_file
from .errors import DataError
from .layers import REGISTRY, from_spec, to_spec
from .sequential import Sequential
from .strict_json import Fields

FORMAT = 1
NAME = "model.safetensors"
TEXT_LIMIT = 255  # characters of a class name
LAYER_LIMIT = 10_000
KEPT_LIMIT = 1 << 32  # bytes that one image may leave behind in the net
COST_LIMIT = 10**13  # multiply-adds for one image
OWN_LAYERS = "A net with own layers opens with --net FILE.py, or in Python with minicnn.open(path, layers=[...])."


def save(net: Sequential, path, training: dict | None = None) -> None:
    """Write `net`; `training` (plain data) says where its weights come from. Raises EnvironmentProblem."""
    write(path, describe(net), net.tensors(), training)


def write(path, description: dict, tensors: dict, training: dict | None = None) -> None:
    """Write weights that are not, or no longer, in a net: `description` as from `describe`."""
    tensor_file.write(path, tensors, {**head("model"), **description, "training": training})


def open_model(path, layers=()) -> Sequential:
    """The net of a model file, or of the run folder that holds one. layers: classes of own layers that the file may
    name.

    Raises UsageError (no such file), EnvironmentProblem (it may not be read), DataError (anything wrong with its
    content).
    """
    if os.path.isdir(path):
        path = Path(path) / NAME
    document, tensors = tensor_file.read(path)
    fields = Fields(document, str(path))
    check_head(fields, "model")
    net = build(fields, layers)
    fields.take("training", (dict, type(None)))
    fields.done()
    fill(net, tensors, str(path))
    return net


def describe(net: Sequential) -> dict:
    """What a file says of a net beside its weights, as plain data. Raises DataError for an own layer without such a
    form.
    """
    for layer in net.layers:
        try:
            json.dumps(to_spec(layer), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise DataError(f"{type(layer).__name__}: config() must be finite numbers, texts and lists: {error}") from None
    return {
        "layers": [to_spec(layer) for layer in net.layers],
        "input_shape": list(net.input_shape),
        "dtype": net.dtype.name,
        "classes": net.classes,
        "preprocessing": net.preprocessing,
    }


def head(kind: str) -> dict:
    """The keys that every file of ours begins with."""
    return {"kind": kind, "format": FORMAT, "minicnn": __version__}


def check_head(fields: Fields, kind: str) -> None:
    """Take the keys of `head`; raises DataError for a newer format and for a file of the other kind."""
    version, made_by = fields.take("format", int), fields.take("minicnn", str)
    if version > FORMAT:
        raise DataError(
            f"{fields.where}: made by {made_by:.40} (format {version}); this is {__version__} (format {FORMAT}). Update minicnn."
        )
    if version < 1:
        raise DataError(f"{fields.where}: format {version} never existed")
    found = fields.take("kind", str)
    if found != kind:
        wanted = {"model": "a model file", "checkpoint": "a checkpoint"}
        raise DataError(f"{fields.where}: {wanted.get(found, 'something else')}, not {wanted[kind]}")


def build(fields: Fields, layers=()) -> Sequential:
    """Take the keys of `describe` and build their net, without weights yet.

    An own layer may need a generator to be built; then, and only then, all layers take memory here.
    """
    where = fields.where
    specs = fields.take("layers", list, lambda value: 1 <= len(value) <= LAYER_LIMIT, f"1 to {LAYER_LIMIT} layers")
    input_shape = fields.take("input_shape", list, _whole, "a list of positive integers")
    dtype = fields.take("dtype", str, ("float32", "float64").__contains__, "float32 or float64")
    classes = fields.take("classes", (list, type(None)), _texts, f"a list of texts of at most {TEXT_LIMIT} characters")
    preprocessing = fields.take("preprocessing", (dict, type(None)))
    own = {layer.__name__: layer for layer in layers}
    try:
        made = [from_spec(spec, REGISTRY | own) for spec in specs if _is_spec(spec, where)]
        net = Sequential(made, tuple(input_shape), seed=0 if own else None, dtype=dtype)
    except (TypeError, ValueError, KeyError, OverflowError, MemoryError, RecursionError) as error:
        named = [spec.get("layer") for spec in specs if type(spec) is dict]
        own_missing = any(type(name) is str and name not in REGISTRY | own for name in named)
        raise DataError(f"{where}: {_one_line(error)}", hint=OWN_LAYERS if own_missing else None) from None
    _check_cost(net, where)
    _check_meaning(net, classes, preprocessing, where)
    net.classes, net.preprocessing = classes, preprocessing
    return net


def fill(net: Sequential, tensors: dict, where: str) -> None:
    """Put tensors of a file into their net. Raises DataError unless names, shapes and dtype are the net's."""
    for name, array in tensors.items():
        if array.dtype != net.dtype:
            raise DataError(f"{where}: tensor {name:.80} is {array.dtype}, the net is {net.dtype}")
    try:
        net.load_tensors(tensors)
    except ValueError as error:
        raise DataError(f"{where}: {_one_line(error)}") from None


def _check_cost(net: Sequential, where: str) -> None:
    kept, cost = summary.backprop_bytes(net.layers, net.dtype.itemsize), summary.multiply_adds(net.layers)
    if kept > KEPT_LIMIT:
        raise DataError(f"{where}: the net would take {kept / 1e9:.1f} GB for one image; the limit is {KEPT_LIMIT / 1e9:.1f} GB")
    if cost > COST_LIMIT:
        raise DataError(f"{where}: the net would take {cost:.1e} multiply-adds for one image; the limit is {COST_LIMIT:.0e}")


def _check_meaning(net: Sequential, classes, preprocessing, where: str) -> None:
    from .data import check_preprocessing

    if classes is not None and net.output_shape != (len(classes),):
        raise DataError(f"{where}: {len(classes)} classes, but the net gives {'x'.join(map(str, net.output_shape))} outputs")
    if preprocessing is None:
        return
    try:
        check_preprocessing(preprocessing)
    except ValueError as error:
        raise DataError(f"{where}: {_one_line(error)}") from None
    prepared = (*preprocessing["size"], preprocessing["channels"])
    if prepared != net.input_shape:
        raise DataError(f"{where}: preprocessing gives images {prepared}, the net takes {net.input_shape}")


def _is_spec(spec, where: str) -> bool:
    if type(spec) is not dict:
        raise DataError(f"{where}: a layer must be an object, got {type(spec).__name__}")
    return True


def _whole(value) -> bool:
    return 1 <= len(value) <= 8 and all(type(extent) is int and extent > 0 for extent in value)


def _texts(value) -> bool:
    return value is None or all(type(text) is str and len(text) <= TEXT_LIMIT for text in value)


def _one_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).replace("\n", " ")[:300]
