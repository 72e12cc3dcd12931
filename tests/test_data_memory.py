"""Bombs: files that unpack to far more than they are must be refused before the memory is asked for.

Each is loaded in a process that may take 96 MiB more than it has after its imports; every bomb here is 256 MiB or more.
"""

import gzip
import io
import os
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest
from data_files import write_idx, write_photos

resource = pytest.importorskip("resource")
if not os.path.exists("/proc/self/statm"):
    pytest.skip("needs /proc to know the size of a process", allow_module_level=True)

CHILD = """
import resource, sys
import numpy as np
from PIL import Image
from minicnn import data
from minicnn.errors import DataError
Image.init()
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + (96 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    if sys.argv[1] == "allocate":
        np.ones(256 << 20, np.uint8)
    found = data.load(sys.argv[1])
    print("loaded", found.summary["images"], *found.skipped)
except DataError as error:
    print("refused", error)
except MemoryError:
    print("out of memory")
"""
MIB = 1 << 20


def load_in_little_memory(source):
    # One malloc arena and one BLAS thread: their reservations count as address space.
    settings = {"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    command = [sys.executable, "-c", CHILD, str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | settings, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout


def zeros(count):
    return (bytes(MIB) for _ in range(count // MIB))


def test_the_limit_bites():
    assert load_in_little_memory("allocate") == "out of memory\n"


@pytest.mark.parametrize("declared", [(256, 1024, 1024), (2, 4, 4), (2**32 - 1, 2**31, 4)])
def test_gzip_bomb(tmp_path, declared):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    with gzip.open(path, "wb") as file:
        file.write(struct.pack(">BBBB3I", 0, 0, 8, 3, *declared))
        file.writelines(zeros(256 * MIB))
    write_idx(tmp_path / "train-labels-idx1-ubyte", [0, 1])
    assert "refused" in (said := load_in_little_memory(tmp_path)) and "declare" in said


def npy_header(shape):
    array = io.BytesIO()
    np.lib.format.write_array_header_1_0(array, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return array.getvalue()


def test_npz_bomb(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("images.npy", "w") as file:
            file.write(npy_header((256, 1024, 1024)))
            for block in zeros(256 * MIB):
                file.write(block)
        archive.writestr("labels.npy", npy_header((256,)) + bytes(range(256)))
    assert path.stat().st_size < MIB
    assert "far more than" in load_in_little_memory(path)


def test_npz_header_bomb(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("images.npy", "w") as file:
            file.write(b"\x93NUMPY\2\0" + struct.pack("<I", 256 * MIB))
            for _ in range(256):
                file.write(b" " * MIB)
        archive.writestr("labels.npy", npy_header((256,)) + bytes(range(256)))
    assert f"a header of {256 * MIB} bytes" in load_in_little_memory(path)


def chunk(kind, content):
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def png(width, height, depth, *extra):
    """A PNG of zeros, gray, with extra chunks."""
    header = struct.pack(">II5B", width, height, depth, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = bytes(1 + (width * depth + 7) // 8)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + b"".join([chunk(b"IHDR", header), *extra, chunk(b"IDAT", body), chunk(b"IEND", b"")])


def test_picture_bombs(tmp_path):
    write_photos(tmp_path, {"a": 250, "b": 250}, side=(4, 4), mode="L")
    packed = zlib.compressobj(9)
    text = b"".join(packed.compress(block) for block in zeros(256 * MIB)) + packed.flush()
    (tmp_path / "a" / "big.png").write_bytes(png(20_000, 15_000, 1))
    (tmp_path / "a" / "profile.png").write_bytes(png(8, 8, 8, chunk(b"iCCP", b"x\0\0" + text)))
    (tmp_path / "a" / "text.png").write_bytes(png(8, 8, 8, chunk(b"zTXt", b"x\0\0" + text)))
    (tmp_path / "b" / "fine.png").write_bytes(png(4000, 4000, 8))
    said = load_in_little_memory(tmp_path)
    assert said.startswith("loaded 50") and "a/big.png', '" in said and "million pixels" in said


def test_a_gif_of_very_many_frames(tmp_path):
    write_photos(tmp_path, {"a": 5, "b": 5}, side=(4, 4), mode="L")
    head = b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0x80, 0, 0) + bytes(3) + b"\xff\xff\xff"
    frame = b"!\xf9\x04\0\x01\0\0\0" + b"," + struct.pack("<HHHHB", 0, 0, 4, 4, 0) + b"\x02\x05\x84\x1d\x81\x7a\x51\0"
    (tmp_path / "a" / "frames.gif").write_bytes(head + frame * 100_000 + b";")
    assert load_in_little_memory(tmp_path).startswith("loaded 11")
