"""IDX files, the format of MNIST (Y. LeCun's page of the database, section "file formats"), plain or .gz.

    0 0 type rank | rank sizes, 4 bytes each, big-endian | values in C order          type 8 = unsigned byte

    images  rank 3 (N, H, W) or 4 (N, H, W, C)          labels  rank 1 (N,)

Files pair by name: NAME-images-idx3-ubyte with NAME-labels-idx1-ubyte (also .idx3-ubyte), NAME holding train, t10k or
test, val. A folder gives the parts it has; one images file gives one stack that the split rule divides.
"""

import gzip
import math
import os
import re
import zlib
from pathlib import Path

import numpy as np

from ..errors import DataError
from .arrays import Stack, budget, part_number, source_of
from .names import printable
from .picture import looks_like
from .pixels import to_pixels
from .split import TRAIN

TYPES = {0x09: "signed byte", 0x0B: "short", 0x0C: "int", 0x0D: "float", 0x0E: "double"}
IMAGES_NAME = re.compile(r"(?P<prefix>.*?)images(?P<dash>[-_.])idx[34](?P<rest>[-_.]ubyte)(?:\.gz)?", re.IGNORECASE)
LABELS_NAME = re.compile(r"(?P<prefix>.*?)labels(?P<dash>[-_.])idx1(?P<rest>[-_.]ubyte)(?:\.gz)?", re.IGNORECASE)
CHUNK = 1 << 20


def detects(path) -> bool:
    """True for an IDX file, plain or with an IDX name, and for a folder that holds image files with IDX names."""
    if os.path.isdir(path):
        try:
            return any(IMAGES_NAME.fullmatch(name) for name in os.listdir(path))
        except OSError:
            return False
    name = os.path.basename(os.fspath(path))
    if IMAGES_NAME.fullmatch(name) or LABELS_NAME.fullmatch(name) or ".idx" in name.lower():
        return True
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        start = file.read(4)
    return start[:3] == b"\0\0\x08" and len(start) == 4 and 1 <= start[3] <= 4


def read(path):
    """The Source of a folder of IDX files or of one images file with its labels beside it. Raises DataError."""
    pairs = _pairs_of_folder(path) if os.path.isdir(path) else [(TRAIN, *_pair_of_file(Path(path)))]
    try:
        return source_of([_stack(part, images, labels) for part, images, labels in pairs])
    except ValueError as error:
        raise DataError(f"{printable(path)}: {error}") from None


def _stack(part, images, labels):
    pixels, values = read_idx(images, (3, 4)), read_idx(labels, (1,))
    return Stack(to_pixels(pixels), values, part, printable(images.name))


def read_idx(path, ranks=(1, 2, 3, 4)) -> np.ndarray:
    """The uint8 array of one IDX file, plain or gzip (told by its content). Raises DataError.

    No more is allocated than the header declares, and the header is believed only when it fits the file: exactly for a
    plain file, within `budget` for a packed one.
    """
    where = printable(path)
    try:
        file_size = os.path.getsize(path)
        with open(path, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            file = gzip.GzipFile(fileobj=raw) if packed else raw
            shape, header = _read_header(file, where, ranks)
            _check_size(shape, header, file_size, packed, where)
            values = _read_values(file, math.prod(shape), where)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{where}: damaged gzip file ({printable(error)}); fetch it again") from None
    except OSError as error:
        raise DataError(f"{where}: {error.strerror or printable(error)}") from None
    return values.reshape(shape)


def _read_header(file, where, ranks):
    start = file.read(4)
    if start[:2] == b"\x1f\x8b":
        raise DataError(f"{where}: gzip inside gzip; unpack it once")
    if len(start) < 4 or start[:2] != b"\0\0":
        begins = start.hex() or "nothing"
        raise DataError(f"{where}: not an IDX file{looks_like(start)}; it begins with {begins}, not 0000")
    kind, rank = start[2], start[3]
    if kind != 0x08:
        name = TYPES.get(kind, "unknown")
        raise DataError(f"{where}: values of type {kind:#04x} ({name}); expected 0x08 (unsigned byte)")
    if rank not in ranks:
        told = {1: "a labels file (rank 1)", 3: "an images file (rank 3)"}.get(rank, f"an array of rank {rank}")
        raise DataError(f"{where}: this is {told}; expected rank {' or '.join(map(str, ranks))}")
    sizes = file.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise DataError(f"{where}: truncated in its header, {4 + len(sizes)} of {4 + 4 * rank} bytes")
    return tuple(int(size) for size in np.frombuffer(sizes, ">u4")), 4 + 4 * rank


def _check_size(shape, header, file_size, packed, where):
    count = math.prod(shape)  # Python integers: four sizes of 2^32-1 do not wrap around
    sizes = "x".join(map(str, shape))
    if packed and count > budget(file_size):
        raise DataError(f"{where}: declares {sizes} = {count} bytes, far more than {file_size} packed bytes can hold")
    if not packed and count != file_size - header:
        raise DataError(f"{where}: declares {sizes} = {count} bytes, but {file_size - header} follow the header")


def _read_values(file, count, where):
    values = np.empty(count, np.uint8)
    view, filled = memoryview(values), 0
    while filled < count:
        read = file.readinto(view[filled : filled + CHUNK])
        if not read:
            raise DataError(f"{where}: truncated, {filled} of {count} bytes")
        filled += read
    if file.read(1):
        raise DataError(f"{where}: more than the declared {count} bytes follow the header")
    return values


def _pairs_of_folder(folder):
    """[(part, images path, labels path)] with train first."""
    found = {}
    for name in sorted(os.listdir(folder)):
        match = IMAGES_NAME.fullmatch(name)
        if not match:
            continue
        words = [word for word in re.split(r"[-_.]", match["prefix"]) if word]
        part = part_number(words[-1]) if words else TRAIN
        if part is None:
            told = f"cannot tell which part {printable(name)} is; expected train, val, t10k or test"
            raise DataError(f"{printable(folder)}: {told}")
        other = found.get(part)
        if other is not None and other.name.removesuffix(".gz") != name.removesuffix(".gz"):
            both = f"{printable(other.name)} and {printable(name)}"
            raise DataError(f"{printable(folder)}: two sets in one folder ({both}); give one")
        found.setdefault(part, Path(folder, name))  # sorted: the plain file comes before its .gz
    if TRAIN not in found:
        names = ", ".join(printable(path.name) for path in found.values())
        raise DataError(f"{printable(folder)}: no training images ({names} only)")
    return [(part, images, _partner(images, "labels")) for part, images in sorted(found.items())]


def _pair_of_file(path):
    if LABELS_NAME.fullmatch(path.name):
        return _partner(path, "images"), path
    return path, _partner(path, "labels")


def _partner(path, kind):
    """The labels file of an images file, or the other way round: the same name with the other word and rank."""
    match = (IMAGES_NAME if kind == "labels" else LABELS_NAME).fullmatch(path.name)
    if not match:
        raise DataError(f"{printable(path)}: needs a name such as train-images-idx3-ubyte, to find its {kind}")
    ranks = ("1",) if kind == "labels" else ("3", "4")
    stems = [f"{match['prefix']}{kind}{match['dash']}idx{rank}{match['rest']}" for rank in ranks]
    names = [stem + end for stem in stems for end in ("", ".gz")]
    for name in names:
        if path.with_name(name).is_file():
            return path.with_name(name)
    raise DataError(f"{printable(path)}: no {names[0]} or {names[1]} beside it")
