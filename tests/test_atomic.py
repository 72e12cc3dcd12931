"""Atomic writes: the old file or the new one, never neither, under every fault; system calls in the right order."""

import os
import shutil
import subprocess
import sys

import pytest

from minicnn import atomic
from minicnn.errors import EnvironmentProblem

OLD, NEW = b"old" * 10, b"new" * 1000


def test_write_replaces(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(OLD)
    atomic.write(path, NEW[:100], memoryview(NEW[100:]))
    assert path.read_bytes() == NEW
    assert os.listdir(tmp_path) == ["a"]


def test_mode_follows_umask(tmp_path):
    atomic.write(tmp_path / "a", b"x")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~atomic.UMASK


@pytest.mark.parametrize("target", ["folder", "missing/a", "file/a"])
def test_impossible_target(tmp_path, target):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(OLD)
    with pytest.raises(EnvironmentProblem, match="cannot write"):
        atomic.write(tmp_path / target, NEW)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
    assert (tmp_path / "file").read_bytes() == OLD


def test_stale_files_of_dead_processes_go(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    dead = f".minicnn-{child.pid}-0a1b2c3d.tmp"
    alive = f".minicnn-{os.getpid()}-0a1b2c3d.tmp"
    for name in (dead, alive, ".minicnn-x-00.tmp", "model.tmp"):
        (tmp_path / name).write_bytes(b"x")
    assert atomic.remove_stale(tmp_path) == [dead]
    assert sorted(os.listdir(tmp_path)) == sorted([alive, ".minicnn-x-00.tmp", "model.tmp"])


def test_an_interruption_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupt(handle):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic.write(tmp_path / "a", NEW)
    assert os.listdir(tmp_path) == []


# The writer of the traced tests. Its temporary name is pinned, so that strace's -P can name it.
WRITER = """
import sys
from minicnn import atomic
from minicnn.errors import EnvironmentProblem
atomic.os.getpid, atomic.secrets.token_hex = lambda: 77, lambda n: "00"
try:
    atomic.write(sys.argv[1], b"new" * 500, b"new" * 500)
except EnvironmentProblem as error:
    print(error)
    sys.exit(4)
"""


@pytest.fixture
def traced(tmp_path):
    """traced(options) runs WRITER over OLD under strace, which sees calls on its folder only: (process, log, path)."""
    strace = shutil.which("strace")
    if not strace or subprocess.run([strace, "-o", os.devnull, "true"], capture_output=True).returncode:
        pytest.skip("strace is missing or may not trace here")
    folder, log = tmp_path / "run", tmp_path / "log"
    folder.mkdir()
    path = folder / "a"
    path.write_bytes(OLD)
    watched = [option for file in (path, folder, folder / ".minicnn-77-00.tmp") for option in ("-P", str(file))]

    def run(*options):
        command = [strace, "-f", "-y", "-o", str(log), *watched, *options, sys.executable, "-c", WRITER, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return done, log.read_text(), path

    return run


@pytest.mark.parametrize("fault", ["signal=SIGKILL", "error=ENOSPC", "error=EIO"])
@pytest.mark.parametrize("call, nth", [("openat", 1), ("write", 1), ("write", 2), ("fsync", 1), ("/^rename", 1), ("fsync", 2)])
def test_every_fault_leaves_old_or_new(traced, fault, call, nth):
    done, log, path = traced("-e", f"trace={call}", "-e", f"inject={call}:{fault}:when={nth}")
    content = path.read_bytes()
    if fault == "signal=SIGKILL":
        assert done.returncode == -9
    else:
        assert "INJECTED" in log
        assert done.returncode == 4 and "cannot write" in done.stdout
        assert os.listdir(path.parent) == ["a"]
    if (call, nth) == ("fsync", 2):
        assert content == NEW
    elif (call, fault) == ("/^rename", "signal=SIGKILL"):
        assert content in (OLD, NEW)  # the signal may arrive on either side of the call
    else:
        assert content == OLD


def test_order_of_system_calls(traced):
    done, log, path = traced("-e", "trace=openat,write,fsync,/^rename")
    assert done.returncode == 0 and path.read_bytes() == NEW
    calls = [line.split(maxsplit=1)[1] for line in log.splitlines() if "(" in line and "+++" not in line]
    names = [call.partition("(")[0].replace("renameat2", "rename") for call in calls]
    assert names == ["openat", "write", "write", "fsync", "rename", "openat", "fsync"]
    assert "O_EXCL" in calls[0] and "O_NOFOLLOW" in calls[0] and "0600" in calls[0]
    assert ".tmp>" in calls[3] and calls[6].endswith("/run>) = 0")
