"""The container of model files: what is written is read back, and whatever was not written by us is refused with one
line.
"""

import io
import json
import os
import pickle
import random
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_bytes import join, resign, split
from PIL import Image

from minicnn import tensor_file
from minicnn.errors import DataError, EnvironmentProblem, MinicnnError, UsageError

TENSORS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b/w": np.linspace(-1, 1, 5),
    "c": np.array(7),
    "d": np.array([250, 255], np.uint8),
}


@pytest.fixture(scope="module")
def blob(tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "a"
    tensor_file.write(path, TENSORS, {"format": 1, "note": 'é \u202e "sha256":"' + "0" * 64})
    return path.read_bytes()


def refused(path, content: bytes, match: str, error=DataError) -> str:
    """`content` as a file is refused, on one line that names the file and matches; returns the line."""
    path.write_bytes(content)
    with pytest.raises(error, match=match) as caught:
        tensor_file.read(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


def test_round_trip(tmp_path, blob):
    path = tmp_path / "a"
    path.write_bytes(blob)
    document, tensors = tensor_file.read(path)
    assert document == {"format": 1, "note": 'é \u202e "sha256":"' + "0" * 64}
    assert {name: (a.dtype, a.shape, a.tobytes()) for name, a in tensors.items()} == {
        name: (a.dtype, a.shape, a.tobytes()) for name, a in TENSORS.items()
    }
    assert all(a.flags.writeable for a in tensors.values())


def test_same_content_same_bytes(tmp_path, blob):
    tensor_file.write(tmp_path / "a", dict(reversed(TENSORS.items())), {"format": 1, "note": 'é \u202e "sha256":"' + "0" * 64})
    assert (tmp_path / "a").read_bytes() == blob


def foreign_files() -> dict[str, tuple[bytes, str]]:
    png, zipped, array = io.BytesIO(), io.BytesIO(), io.BytesIO()
    Image.new("L", (9, 9)).save(png, "png")
    with zipfile.ZipFile(zipped, "w") as file:
        file.writestr("model.pt", b"x" * 300)
    np.save(array, np.zeros(40))
    safetensors = join({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4)
    return {
        "empty": (b"", "an empty file"),
        "one byte": (b"\x08", "not a minicnn model"),
        "png": (png.getvalue(), "a PNG"),
        "zip": (zipped.getvalue(), "a zip"),
        "pickle": (pickle.dumps(list(range(100)), protocol=4), "a pickle"),
        "npy": (array.getvalue(), "a NumPy array"),
        "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5"),
        "onnx": (b"\x08\x09\x12\x07pytorch\x1a\x052.1.0" + bytes(100), "not a minicnn model"),
        "text": (b"hello world, this is a text " * 5, "not a minicnn model"),
        "json": (b'{"a": 1, "b": [1, 2, 3]}', "a JSON"),
        "zeros": (bytes(400), "not a minicnn model"),
        "safetensors": (safetensors, "another program"),
        "safetensors with metadata": (join({"__metadata__": {"format": "pt"}}, b""), "another program"),
    }


@pytest.mark.parametrize("kind", foreign_files())
def test_foreign_files(tmp_path, kind):
    content, match = foreign_files()[kind]
    assert "not a minicnn model" in refused(tmp_path / "a", content, match)


def test_truncated_at_every_length(tmp_path, blob):
    header = 8 + int.from_bytes(blob[:8], "little")
    for length in range(len(blob)):
        match = f"truncated: {length} of {len(blob)} bytes" if length >= header else "not a minicnn model"
        refused(tmp_path / "a", blob[:length], match)


def test_trailing_bytes(tmp_path, blob):
    refused(tmp_path / "a", blob + b"\0" * 3, "3 bytes too many")


def test_every_flipped_bit(tmp_path, blob):
    for at in range(len(blob)):
        for bit in range(8) if at < 8 or at >= len(blob) - 30 else [random.Random(at).randrange(8)]:
            damaged = bytearray(blob)
            damaged[at] ^= 1 << bit
            path = tmp_path / "a"
            path.write_bytes(damaged)
            with pytest.raises(DataError):
                tensor_file.read(path)


def test_flipped_data_is_a_checksum_mismatch(tmp_path, blob):
    refused(tmp_path / "a", blob[:-1] + bytes([blob[-1] ^ 1]), "checksum mismatch")


def test_missing_checksum(tmp_path):
    document = json.dumps({"format": 1})
    refused(tmp_path / "a", join({"__metadata__": {"minicnn": document}}, b""), "'sha256' is missing")


@pytest.mark.parametrize("length", [0, 1, 7, 10**6, 1 << 20, (1 << 20) + 8, 1 << 62, 1 << 63, (1 << 64) - 1])
def test_header_length_lies(tmp_path, blob, length):
    refused(tmp_path / "a", length.to_bytes(8, "little") + blob[8:], "not a minicnn model")


def test_lies_allocate_nothing(tmp_path):
    """Headers that promise gigabytes are refused in a process that may use only 64 MB more."""
    pytest.importorskip("resource")
    lies = {
        "length": (1 << 40).to_bytes(8, "little") + b"{" * 64,
        "data": join(
            {
                "__metadata__": {"minicnn": "{}"},
                "w": {"dtype": "F64", "shape": [1 << 31], "data_offsets": [0, 1 << 34]},
            },
            b"",
        ),
        "nest": join(b'{"__metadata__":' + b"[" * 100_000, b""),
    }
    for name, content in lies.items():
        (tmp_path / name).write_bytes(content)
    child = (
        "import sys, resource\n"
        "from minicnn import tensor_file\n"
        "from minicnn.errors import DataError\n"
        "import safetensors.numpy\n"
        "used = int(open('/proc/self/status').read().split('VmSize:')[1].split()[0]) * 1024\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)\n"
        "for path in sys.argv[1:]:\n"
        "    try: tensor_file.read(path)\n"
        "    except DataError as error: print(error)\n"
    )
    if not os.path.exists("/proc/self/status"):
        pytest.skip("needs /proc")
    done = subprocess.run(
        [sys.executable, "-c", child, *(str(tmp_path / name) for name in lies)],
        capture_output=True, text=True, timeout=60, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 3, done.stderr


HEADERS = {
    "not UTF-8": (b'{"a\xff": 1}', "not UTF-8"),
    "byte-order mark": (b"\xef\xbb\xbf{}", "not a minicnn model"),
    "duplicate keys": (b'{"a": 1, "a": 2}', "'a' stands there twice"),
    "nested": (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    "NaN": (b'{"a": NaN}', "NaN is not a number"),
    "Infinity": (b'{"a": -Infinity}', "-Infinity is not a number"),
    "digits": (b'{"a": ' + b"9" * 900_000 + b"}", "digits"),
    "1e999": (b'{"a": 1e999}', "out of range"),
    "surrogate": (b'{"a": "\\ud800"}', "lone surrogate"),
    "list": (b'[{"a": 1}]', "not a minicnn model"),
    "garbage": (b'{"a": 1}}', "Extra data"),
    "metadata": (b'{"__metadata__": 3}', "'__metadata__' must be dict"),
}


@pytest.mark.parametrize("lie", HEADERS)
def test_bad_json(tmp_path, lie):
    header, match = HEADERS[lie]
    refused(tmp_path / "a", join(header, b""), match)


@pytest.mark.parametrize("lie", [name for name in HEADERS if name not in ("metadata", "byte-order mark", "list")])
def test_bad_json_in_the_description(tmp_path, lie):
    text, match = HEADERS[lie]
    if lie == "not UTF-8":
        text, match = b'{"a": "\xff"}', "bad header: not UTF-8"
        raw = b'{"__metadata__":{"minicnn":"' + text.replace(b'"', b'\\"') + b'"}}'
    else:
        raw = json.dumps({"__metadata__": {"minicnn": text.decode()}}).encode()
    refused(tmp_path / "a", join(raw, b""), match)


ENTRIES = {
    "overlap": ({"data_offsets": [20, 60]}, "starts at byte 20"),
    "hole": ({"data_offsets": [32, 72]}, "starts at byte 32"),
    "backwards": ({"data_offsets": [64, 24]}, "data_offsets"),
    "negative": ({"data_offsets": [-8, 32]}, "data_offsets"),
    "past the end": ({"data_offsets": [24, 1 << 40]}, "bytes for shape"),
    "float offset": ({"data_offsets": [24.0, 64]}, "data_offsets"),
    "one offset": ({"data_offsets": [24]}, "data_offsets"),
    "dim 0": ({"shape": [0]}, "shape"),
    "dim negative": ({"shape": [-5]}, "shape"),
    "dim huge": ({"shape": [1 << 32]}, "shape"),
    "dims that wrap": ({"shape": [1 << 31, 1 << 31, 4]}, "bytes for shape"),
    "dim bool": ({"shape": [True, 5]}, "shape"),
    "dim float": ({"shape": [5.0]}, "shape"),
    "rank 33": ({"shape": [1] * 33}, "shape"),
    "rank 0": ({"shape": []}, "bytes for shape"),
    "dtype": ({"dtype": "F16"}, "dtype"),
    "dtype list": ({"dtype": ["F64"]}, "dtype"),
    "extra key": ({"code": "import os"}, "unknown key 'code'"),
    "missing key": ({"dtype": None}, "dtype"),
}


@pytest.mark.parametrize("lie", ENTRIES)
def test_bad_tensor_entries(tmp_path, lie):
    change, match = ENTRIES[lie]
    document = json.dumps({"sha256": "0" * 64})
    first = {"dtype": "F64", "shape": [3], "data_offsets": [0, 24]}
    second = {"dtype": "F64", "shape": [5], "data_offsets": [24, 64]} | change
    content = join({"__metadata__": {"minicnn": document}, "first": first, "second": second}, bytes(64))
    assert "second" in refused(tmp_path / "a", content, match)


def test_entries_out_of_order(tmp_path, blob):
    header, data = split(blob)
    metadata = header.pop("__metadata__")
    refused(tmp_path / "a", join({"__metadata__": metadata, **dict(reversed(header.items()))}, data), "starts at byte")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_values(tmp_path, value):
    tensor_file.write(tmp_path / "a", {"conv/w": np.array([1, value, value], np.float32)}, {})
    with pytest.raises(DataError, match="tensor conv/w has 2 non-finite values"):
        tensor_file.read(tmp_path / "a")


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    os.symlink("loop", tmp_path / "loop")
    expected = {"fifo": DataError, "loop": EnvironmentProblem, "missing": UsageError, ".": DataError}
    for name, error in expected.items():
        with pytest.raises(error):
            tensor_file.read(tmp_path / name)
    with pytest.raises(DataError, match="not a regular file"):
        tensor_file.read("/dev/zero")
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DataError, match="more than a model file may have"):
        tensor_file.read(tmp_path / "sparse")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_only_our_errors_escape(tmp_path_factory, blob, data):
    """Random bytes, random JSON and random edits of a good file, signed or not."""
    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
        max_leaves=8,
    )
    kind = data.draw(st.sampled_from(["bytes", "json", "edit"]))
    if kind == "bytes":
        content = data.draw(st.binary(max_size=200))
    elif kind == "json":
        header = {"__metadata__": {"minicnn": json.dumps(data.draw(json_values))}, "w": data.draw(json_values)}
        content = join(json.dumps(header).encode(), data.draw(st.binary(max_size=40)))
    else:
        at = data.draw(st.integers(0, len(blob) - 1))
        edited = blob[:at] + data.draw(st.binary(max_size=4)) + blob[at + data.draw(st.integers(0, 4)) :]
        content = resign(edited)
    path = tmp_path_factory.getbasetemp() / "fuzz"
    path.write_bytes(content)
    try:
        tensor_file.read(path)
    except MinicnnError as error:
        assert "\n" not in str(error)
