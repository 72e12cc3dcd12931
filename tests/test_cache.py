"""The cache of compiled kernels heals, refuses, and never stands in the way; whatever happens to it, results are right."""
import hashlib
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from minicnn import kernels
from minicnn.kernels import cache, jit

SOURCES = Path(cache.__file__).parent
X = np.linspace(-1, 1, 37, dtype=np.float32)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty cache of this test's own."""
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))
    cache.cache_folder.cache_clear()
    yield tmp_path / "cache"
    cache.cache_folder.cache_clear()


def relu():
    """A kernel that this process has not compiled, called once; (its result is right, came from the cache)."""
    kernel = jit.Kernel(kernels.function("cpu", "relu_forward").body)
    y = np.full_like(X, np.nan)
    kernel(X, y)
    return np.array_equal(y, np.maximum(X, 0)), bool(kernel.dispatcher.stats.cache_hits)


def entry(root):
    (path,) = root.rglob("*.bin")
    return path


def test_compiled_once_and_then_loaded(root):
    assert relu() == (True, False)
    written = entry(root).read_bytes(), entry(root).stat().st_mtime_ns
    assert relu() == (True, True)
    assert written == (entry(root).read_bytes(), entry(root).stat().st_mtime_ns)
    assert [p.name for p in root.rglob("*") if p.is_file()] == [entry(root).name]         # no temporary files


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1:]


DAMAGES = {
    "empty": lambda d: b"", "one byte": lambda d: d[:1], "checksum only": lambda d: d[:32], "cut by one byte": lambda d: d[:-1],
    "one byte more": lambda d: d + b"\0", "zeros": lambda d: bytes(len(d)), "bit in the checksum": lambda d: flipped(d, 0),
    "bit in the middle": lambda d: flipped(d, len(d) // 2), "last bit": lambda d: flipped(d, len(d) - 1),
    "whole, but no pickle": lambda d: hashlib.sha256(b"no").digest() + b"no",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_entry_is_compiled_again_and_replaced(root, damage):
    relu()
    path = entry(root)
    good = path.read_bytes()
    path.write_bytes(damage(good))
    assert relu() == (True, False)
    assert relu() == (True, True)


def test_a_damaged_entry_is_never_unpickled(root, tmp_path):
    """A pickle that would run something, without the right checksum."""
    relu()
    marker = tmp_path / "marker"
    entry(root).write_bytes(bytes(32) + b"cposix\nsystem\n(S'touch %b'\ntR." % str(marker).encode())
    assert relu() == (True, False) and not marker.exists()


def test_an_entry_that_is_a_folder(root):
    relu()
    path = entry(root)
    path.unlink()
    path.mkdir()
    assert relu() == (True, False) and path.is_dir()
    assert not [p for p in root.rglob("*") if p.suffix == ".tmp"]


def test_a_full_disk_leaves_nothing_behind(root, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(os, "replace", full)
    assert relu() == (True, False)
    assert not [p for p in root.rglob("*") if p.is_file()]


def warned(calls=3):
    """The warnings of some uncached calls, which must be right."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert [relu() for _ in range(calls)] == [(True, False)] * calls
    return [str(w.message) for w in caught]


def test_a_file_in_the_place_of_the_folder(root):
    root.write_text("not a folder")
    (message,) = warned()
    assert message == f"compiled kernels are not kept: {root}: Not a directory" and root.read_text() == "not a folder"


def test_a_file_in_the_place_of_the_inner_folder(root):
    root.mkdir()
    (root / "kernels").write_text("")
    assert len(warned()) == 1


@pytest.mark.parametrize("mode", [0o777, 0o720, 0o702])
def test_a_folder_that_others_can_write_to_is_refused(root, mode):
    folder = cache.cache_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(mode)
    cache.cache_folder.cache_clear()
    (message,) = warned()
    assert message.endswith(": others can write to it") and not list(folder.iterdir())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_someone_else_is_refused(root):
    os.chown(cache.cache_folder(), 12345, -1)
    cache.cache_folder.cache_clear()
    (message,) = warned()
    assert message.endswith(": others can write to it")


def test_no_home_folder(monkeypatch, tmp_path):
    for name in ("MINICNN_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def homeless():
        raise RuntimeError("Could not determine home directory.")
    monkeypatch.setattr(cache.Path, "home", homeless)
    cache.cache_folder.cache_clear()
    try:
        with pytest.warns(UserWarning, match="compiled kernels are not kept: no home folder: Could not determine"):
            assert relu() == (True, False)
    finally:
        cache.cache_folder.cache_clear()


def test_where_the_cache_is(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.setenv("MINICNN_CACHE", "/y")
    assert cache.cache_root() == Path("/y")
    monkeypatch.setenv("MINICNN_CACHE", "")
    assert cache.cache_root() == Path("/x/minicnn")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/z")
    assert cache.cache_root() == Path("/z/.cache/minicnn")


def test_the_key_changes_with_every_source_and_setting(tmp_path, monkeypatch):
    copy = tmp_path / "kernels"
    shutil.copytree(SOURCES, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(cache, "__file__", str(copy / "cache.py"))
    key = cache._key.__wrapped__
    keys = [key()]
    assert keys[0] == key() == cache._key()
    for source in sorted(copy.glob("*.py")):
        text = source.read_text("utf-8")
        source.write_text(text + "\n# edited", "utf-8")
        keys.append(key())
        source.write_text(text, "utf-8")
    (copy / "new.py").write_text("")
    keys.append(key())
    (copy / "new.py").unlink()
    versions = [(module, "__version__", "0") for module in (cache.numba, cache.llvmlite, cache.np)]
    for owner, name, value in [*versions, (cache.config, "BOUNDSCHECK", 1), (cache.config, "OPT", 0)]:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value)
            keys.append(key())
    assert len(set(keys)) == len(keys) and key() == keys[0]


CALL = ("import sys, numpy as np; from minicnn import kernels; y = np.empty(3, np.float32); "
        "kernels.function('cpu', 'relu_forward')(np.float32([-1, 0, 2]), y); print(*y, kernels.__file__)")


def test_an_edit_in_a_source_reaches_the_compiled_kernel(tmp_path):
    """Numba's own cache would go on running the code from before the edit."""
    tree = tmp_path / "tree"
    for folder in ("kernels", "minicnn"):
        shutil.copytree(SOURCES.parent / folder if (SOURCES.parent / folder).exists() else SOURCES, tree / folder,
                        ignore=shutil.ignore_patterns("__pycache__"))
    source = tree / "kernels" / "activation_cpu.py"
    said = []
    for edit in (("", ""), ("where(less_equal(x, 0.0), 0.0, x)", "where(less_equal(x, 0.0), 5.0, x)")):
        assert edit[0] in source.read_text("utf-8")
        source.write_text(source.read_text("utf-8").replace(*edit), "utf-8")
        done = subprocess.run([sys.executable, "-c", CALL], capture_output=True, text=True, cwd=tmp_path, timeout=120,
                              env=os.environ | {"PYTHONPATH": str(tree), "MINICNN_CACHE": str(tmp_path / "cache")})
        assert done.returncode == 0, done.stderr
        said.append(done.stdout.split())
    assert said[0][:3] == ["0.0", "0.0", "2.0"] and said[1][:3] == ["5.0", "5.0", "2.0"]
    assert said[0][3] == str(tree / "kernels" / "__init__.py")


def test_cold_processes_race(tmp_path):
    """Three processes fill one empty cache at the same time: all are right, and whole entries are all that stays."""
    environment = os.environ | {"MINICNN_CACHE": str(tmp_path / "cache")}
    processes = [subprocess.Popen([sys.executable, "-W", "error", "-c", CALL], env=environment, cwd=tmp_path, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0 and not err and out.split()[:3] == ["0.0", "0.0", "2.0"], err
    assert [p.suffix for p in (tmp_path / "cache").rglob("*") if p.is_file()] == [".bin"]
