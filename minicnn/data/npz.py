""".npz files: zip archives of NumPy arrays, read without pickle and only as far as their headers can be believed.

    train_images train_labels (val_ test_)      MedMNIST's keys
    x_train y_train (x_val y_val x_test y_test) the keys of Keras' files
    images labels                               one stack, divided by the split rule

Images as in pixels.py; labels (N,), (N, 1), one-hot (N, K) or text. First every header is read and the declared sizes
are added up, then the arrays: nothing in a header can make more than `arrays.budget` of memory be asked for.
"""

import io
import os
import struct
import zipfile
import zlib

import numpy as np

from ..errors import DataError
from .arrays import Stack, budget, source_of
from .names import class_name, printable
from .picture import looks_like
from .pixels import to_pixels, white_of
from .split import TEST, TRAIN, VAL

SCHEMES = (
    {TRAIN: ("train_images", "train_labels"), VAL: ("val_images", "val_labels"), TEST: ("test_images", "test_labels")},
    {TRAIN: ("x_train", "y_train"), VAL: ("x_val", "y_val"), TEST: ("x_test", "y_test")},
    {TRAIN: ("images", "labels")},
)
# What zipfile and NumPy raise on damaged or unusual archives, beside BadZipFile and OSError.
DAMAGE = (ValueError, EOFError, zlib.error, struct.error, NotImplementedError, RuntimeError)
MAX_HEADER = 10_000
MAX_DIRECTORY = 1 << 20


def detects(path) -> bool:
    """True for a file named .npz."""
    return os.fspath(path).lower().endswith(".npz") and os.path.isfile(path)


def read(path):
    """The Source of an .npz file. Raises DataError."""
    where = printable(path)
    try:
        _check_directory(path)
        with zipfile.ZipFile(path) as archive:
            pairs = _choose({name[:-4] for name in archive.namelist() if name.endswith(".npy")})
            arrays = _read_arrays(archive, [key for pair in pairs.values() for key in pair], os.path.getsize(path))
        white = max(white_of(arrays[images]) for images, _ in pairs.values())
        return source_of([_stack(part, *keys, arrays, white) for part, keys in sorted(pairs.items())], white)
    except zipfile.BadZipFile as error:
        with open(path, "rb") as file:
            kind = looks_like(file.read(16))
        raise DataError(f"{where}: not a readable .npz file{kind} ({printable(error)})") from None
    except DAMAGE as error:
        raise DataError(f"{where}: {printable(error)}") from None
    except OSError as error:
        raise DataError(f"{where}: {error.strerror or printable(error)}") from None


def _check_directory(path):
    """Refuses an archive whose directory of members is larger than a handful of arrays needs, before it is parsed."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        file.seek(max(0, size - (1 << 16) - 22))  # the end record is 22 bytes and a comment of at most 65,535
        tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) - end < 22:
        raise zipfile.BadZipFile("no end record: truncated, or no zip archive")
    members, directory = struct.unpack_from("<HI", tail, end + 10)
    if directory > MAX_DIRECTORY or members == 0xFFFF:
        raise ValueError(f"{members} members in a directory of {directory} bytes; expected a few arrays")
    if tail[max(0, end - 20) : end].startswith(b"PK\x06\x07") and size < 1 << 32:
        raise ValueError("a 64-bit zip directory in a file under 4 GiB; save it again with numpy.savez")


def _choose(keys):
    """{part: (images key, labels key)} of the first scheme whose train keys are there."""
    for scheme in SCHEMES:
        if set(scheme[TRAIN]) <= keys:
            for images, labels in scheme.values():
                if (images in keys) != (labels in keys):
                    there, missing = (images, labels) if images in keys else (labels, images)
                    raise ValueError(f"has {there} but no {missing}")
            return {part: pair for part, pair in scheme.items() if pair[0] in keys}
    expected = " or ".join("+".join(scheme[TRAIN]) for scheme in SCHEMES)
    raise ValueError(f"has the arrays {', '.join(sorted(map(printable, keys))[:8]) or 'none'}; expected {expected}")


def _read_arrays(archive, keys, file_size):
    total, members = 0, {}
    for key in keys:
        named = [member for member in archive.infolist() if member.filename == f"{key}.npy"]
        if len(named) != 1:
            raise ValueError(f"array {key} is there {len(named)} times")
        members[key] = named[0]
        total += _declared_bytes(archive, named[0], key)
    if total > budget(file_size):
        raise ValueError(f"declares {total} bytes, far more than {file_size} packed bytes can hold")
    arrays = {}
    for key, member in members.items():
        with archive.open(member) as file:
            arrays[key] = np.lib.format.read_array(file, allow_pickle=False, max_header_size=MAX_HEADER)
            if file.read(1):  # also makes zipfile compare the checksum
                raise ValueError(f"{key}: bytes follow the array")
    return arrays


def _declared_bytes(archive, member, key):
    """Bytes of the array by its own header, checked against the size of its archive member."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{key}: compression method {member.compress_type}; expected stored or deflated")
    with archive.open(member) as file:
        shape, dtype, header = _read_header(file, key)
    count = 1
    for extent in shape:
        if extent < 0:
            raise ValueError(f"{key}: shape {shape}")
        count *= extent
    if dtype.hasobject:
        raise ValueError(f"{key}: holds Python objects (pickle), which are refused; save plain numbers")
    if dtype.kind not in "buifU":
        raise ValueError(f"{key}: values of type {dtype}; expected numbers")
    declared, there = count * dtype.itemsize, member.file_size - header
    if declared != there:
        raise ValueError(f"{key}: {shape} {dtype} is {declared} bytes, but {there} are there")
    return member.file_size


def _read_header(file, key):
    """(shape, dtype, bytes before the data). A header's length is checked first: version 2 allows 4 GiB."""
    version = np.lib.format.read_magic(file)
    width = {(1, 0): 2, (2, 0): 4}.get(version)
    if width is None:
        raise ValueError(f"{key}: .npy version {version}; expected 1.0 or 2.0")
    prefix = file.read(width)
    length = int.from_bytes(prefix, "little")
    if length > MAX_HEADER:
        raise ValueError(f"{key}: a header of {length} bytes; at most {MAX_HEADER}")
    parse = np.lib.format.read_array_header_1_0 if width == 2 else np.lib.format.read_array_header_2_0
    try:
        shape, _, dtype = parse(io.BytesIO(prefix + file.read(length)), max_header_size=MAX_HEADER)
    except Exception:  # noqa: BLE001 - the header is a Python literal, its parser raises whatever Python's own does
        raise ValueError(f"{key}: damaged .npy header") from None
    return shape, dtype, 8 + width + length


def _stack(part, images, labels, arrays, white):
    try:
        pixels = to_pixels(arrays[images], white)
    except ValueError as error:
        raise ValueError(f"{images}: {error}") from None
    return Stack(pixels, _label_values(arrays[labels], labels), part, images)


def _label_values(labels, key):
    """(N,) int64 or text from (N,), (N, 1) or one-hot (N, K)."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and labels.dtype.kind != "U":
        if not (np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()):
            raise ValueError(f"{key}: {labels.shape} with several labels an image; expected one label each")
        labels = labels.argmax(axis=1)
    if labels.ndim != 1:
        raise ValueError(f"{key}: shape {labels.shape}; expected (N,), (N, 1) or one-hot (N, classes)")
    if labels.dtype.kind == "U":
        return np.array([class_name(label) for label in labels.tolist()])
    if labels.dtype.kind == "f" and not (labels == np.floor(labels)).all():
        raise ValueError(f"{key}: fractions or NaN among the labels; expected whole numbers")
    if labels.size and labels.min() < 0:
        raise ValueError(f"{key}: label {int(labels.min())} at {int(labels.argmin())}; expected 0 and up")
    return labels.astype(np.int64)
