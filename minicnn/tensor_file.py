"""One file of named arrays and one JSON document, written atomically and checked to the last byte.

The container is safetensors (github.com/huggingface/safetensors, "Format"):

    8 bytes, little-endian    n, the length of the header
    n bytes                   JSON: {"__metadata__": {"minicnn": DOCUMENT}, NAME: {"dtype", "shape", "data_offsets"},
    ...} the rest                  the arrays, little-endian, C order, without holes

DOCUMENT is JSON text. Its first key, `sha256`, is the SHA-256 of the whole file with these 64 digits set to '0'.
`read` trusts nothing: it is a regular file, the header is judged here before the library sees a byte, nothing larger
than the file itself is ever allocated, and the file is read into memory, never mapped (a mapped file that shrinks kills
the process).
"""

import errno
import hashlib
import json
import math
import os
import stat
from itertools import pairwise

import numpy as np

from . import atomic, strict_json
from .errors import DataError, EnvironmentProblem, UsageError
from .strict_json import Fields

DTYPES = {"F32": 4, "F64": 8, "I32": 4, "I64": 8, "U64": 8, "U8": 1}  # name in the file -> bytes per value
HEADER_LIMIT = 1 << 20
FILE_LIMIT = 1 << 33
NAME_LIMIT = 255
RANK_LIMIT = 8
DIM_LIMIT = 1 << 31

ZEROS = b"0" * 64
MARK = rb"\"sha256\":\""  # as it stands in the header: DOCUMENT is JSON inside a JSON text

LOOKS_LIKE = {
    b"PK\x03\x04": "a zip (PyTorch and Keras files are zips)",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip file",
    b"\x7fELF": "a program",
    b"%PDF": "a PDF",
    b"\x93NUMPY": "a NumPy array file",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"{": "a JSON text",
}


def write(path, tensors: dict, document: dict) -> None:
    """Write arrays (dtypes of DTYPES) and document. Raises EnvironmentProblem when the file cannot be written."""
    from safetensors.numpy import save

    text = json.dumps({"sha256": ZEROS.decode(), **document}, separators=(",", ":"), allow_nan=False)
    blob = bytearray(save({name: np.asarray(array, order="C") for name, array in tensors.items()}, {"minicnn": text}))
    header = blob[: 8 + int.from_bytes(blob[:8], "little")]
    if len(header) - 8 > HEADER_LIMIT:
        raise DataError(f"cannot write {path}: the description of the net takes more than {HEADER_LIMIT} bytes")
    at = header.find(MARK + ZEROS) + len(MARK)
    blob[at : at + 64] = hashlib.sha256(blob).hexdigest().encode()
    atomic.write(path, blob)


def read(path) -> tuple[dict, dict]:
    """(document, {name: array}); the arrays are fresh and writable.

    Raises UsageError (no such file), EnvironmentProblem (it may not be read), DataError (anything wrong with its
    content).
    """
    from safetensors.numpy import load

    with os.fdopen(_open(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        header = _read_header(file, size, path)
        entries, document = _parse_header(header, path)
        total = 8 + len(header) + _check_entries(entries, path)
        if size < total:
            raise DataError(f"{path}: truncated: {size} of {total} bytes")
        if size > total:
            raise DataError(f"{path}: {size - total} bytes too many after the {total} that the header describes")
        try:
            blob = len(header).to_bytes(8, "little") + header + file.read(total - 8 - len(header) + 1)
        except MemoryError:
            raise EnvironmentProblem(f"{path}: not enough memory for its {size / 1e6:.0f} MB") from None
        except OSError as error:
            raise EnvironmentProblem(f"cannot read {path}: {error.strerror}") from error
    if len(blob) != total:
        raise DataError(f"{path}: the file changed while it was read ({len(blob)} of {total} bytes)")
    _check_sum(blob, len(header), document, path)
    arrays = {name: np.array(array) for name, array in load(blob).items()}
    for name, array in arrays.items():
        bad = array.size - int(np.count_nonzero(np.isfinite(array)))
        if bad:
            raise DataError(f"{path}: tensor {name} has {bad} non-finite values")
    document.pop("sha256")
    return document, arrays


def _open(path) -> int:
    """An open handle on a regular file; a pipe, device or folder is refused without waiting for it."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except OSError as error:
        if error.errno == errno.EISDIR:
            raise DataError(f"{path}: a folder, not a model file") from None
        raise EnvironmentProblem(f"cannot read {path}: {error.strerror}") from error
    info = os.fstat(handle)
    if not stat.S_ISREG(info.st_mode) or info.st_size > FILE_LIMIT:
        os.close(handle)
        if stat.S_ISREG(info.st_mode):
            raise DataError(f"{path}: {info.st_size / 1e9:.1f} GB is more than a model file may have")
        raise DataError(f"{path}: {'a folder' if stat.S_ISDIR(info.st_mode) else 'not a regular file'}, not a model file")
    return handle


def _read_header(file, size: int, path) -> bytes:
    start = file.read(8)
    length = int.from_bytes(start, "little")
    fits = len(start) == 8 and 2 <= length <= min(HEADER_LIMIT, size - 8)
    header = file.read(length) if fits else b""
    if len(header) != length or not header.startswith(b"{") or length % 8:
        kind = next((name for magic, name in LOOKS_LIKE.items() if start.startswith(magic)), None)
        kind = "an empty file" if not start else kind
        raise DataError(f"{path}: not a minicnn model" + (f" (looks like {kind})" if kind else ""))
    return header


def _parse_header(header: bytes, path) -> tuple[dict, dict]:
    entries = strict_json.parse(header, f"{path}: bad header")
    fields = Fields(entries, f"{path}: bad header")
    if "__metadata__" not in fields.rest:
        raise DataError(f"{path}: not a minicnn model (a safetensors file of another program)")
    metadata = fields.take("__metadata__", dict)
    if type(metadata.get("minicnn")) is not str:
        raise DataError(f"{path}: not a minicnn model (a safetensors file of another program)")
    inner = Fields(metadata, f"{path}: bad metadata")
    document = strict_json.parse(inner.take("minicnn", str).encode(), f"{path}: bad description")
    inner.done()
    if type(document) is not dict:
        raise DataError(f"{path}: bad description: expected an object")
    return fields.rest, document


def _check_entries(entries: dict, path) -> int:
    """The bytes of all arrays; raises DataError unless they lie in header order, without hole or overlap."""
    end = 0
    for name, entry in entries.items():
        where = f"{path}: tensor {name:.80}"
        if not 1 <= len(name) <= NAME_LIMIT:
            raise DataError(f"{where}: a name has 1 to {NAME_LIMIT} characters")
        fields = Fields(entry, where)
        width = DTYPES[fields.take("dtype", str, DTYPES.__contains__, "one of " + " ".join(DTYPES))]
        shape = fields.take("shape", list, _good_shape, f"at most {RANK_LIMIT} integers from 1 to {DIM_LIMIT}")
        offsets = fields.take("data_offsets", list, _good_offsets, "two integers, the first not above the second")
        fields.done()
        if offsets[0] != end:
            raise DataError(f"{where}: starts at byte {offsets[0]} instead of {end}")
        if offsets[1] - offsets[0] != math.prod(shape) * width:
            raise DataError(f"{where}: {offsets[1] - offsets[0]} bytes for shape {shape} of {width}-byte values")
        if offsets[0] % width:
            raise DataError(f"{where}: starts at byte {offsets[0]}, not a multiple of {width}")
        end = offsets[1]
    return end


def _good_shape(shape) -> bool:
    return len(shape) <= RANK_LIMIT and all(type(dim) is int and 1 <= dim <= DIM_LIMIT for dim in shape)


def _good_offsets(offsets) -> bool:
    return len(offsets) == 2 and all(type(at) is int and at >= 0 for at in offsets) and all(a <= b for a, b in pairwise(offsets))


def _check_sum(blob: bytes, header_length: int, document: dict, path) -> None:
    digest = Fields(document, f"{path}: bad description").take("sha256", str, lambda text: len(text) == 64, "64 digits")
    at = blob.find(MARK + digest.encode(), 0, 8 + header_length) + len(MARK)
    actual = hashlib.sha256()
    actual.update(memoryview(blob)[:at])
    actual.update(ZEROS)
    actual.update(memoryview(blob)[at + 64 :])
    if at < len(MARK) or actual.hexdigest() != digest:
        raise DataError(f"{path}: checksum mismatch: the file was damaged or changed after it was written")
