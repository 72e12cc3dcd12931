"""The command line as a process: signals, pipes, terminals, odd locales; and that no fault ends in anything but one
line.
"""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time

import pytest
from command_line import command, fails, spawn, tree

from minicnn import data as mcdata
from minicnn.layers import Dense, Flatten
from minicnn.sequential import Sequential

LONG = ("train", "digits", "--epochs", 400, "--name", "r")


def model(path):
    """A small trained-looking model for 8x8 gray pictures, with names that a terminal should not obey."""
    net = Sequential([Flatten(), Dense(2)], (8, 8, 1))
    net.classes = ["\x1b[2Jnought", "öne"]
    net.preprocessing = {"size": [8, 8], "channels": 1, "mean": [0.5], "std": [0.5], "resize": "bicubic", "white": 1.0}
    net.save(path)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with m.safetensors, digit.png and a run in runs/r."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("process")
    model(folder / "m.safetensors")
    pixels = mcdata.load("digits").test.pixels[0, :, :, 0]
    Image.fromarray(pixels).save(folder / "digit.png")
    assert spawn("train", "digits", "--epochs", 1, "--name", "r", at=folder).code == 0
    return folder


def wait_for(path, process):
    """Until a file is there; fails when the process ends before."""
    for _ in range(1200):
        if path.exists():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError(f"{path} never came")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_the_run_with_130(tmp_path, name):
    process = subprocess.Popen(command(*LONG), cwd=tmp_path, stdout=-1, stderr=-1, text=True)
    wait_for(tmp_path / "runs" / "r" / "log.jsonl", process)
    process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("minicnn: error: ")]
    assert "stopped after epoch" in line and "go on: minicnn train digits --resume runs/r" in line
    done = len((tmp_path / "runs" / "r" / "log.jsonl").read_text().splitlines())
    result = spawn("train", "--resume", "runs/r", "--epochs", done + 1, "--json", at=tmp_path)
    assert result.code == 0 and json.loads(result.out)["epochs"] == done + 1


def test_kill_9_and_resume(tmp_path):
    process = subprocess.Popen(command(*LONG), cwd=tmp_path, stdout=-1, stderr=-1, text=True)
    wait_for(tmp_path / "runs" / "r" / "log.jsonl", process)
    process.kill()
    process.communicate()
    done = len((tmp_path / "runs" / "r" / "log.jsonl").read_text().splitlines())
    rows = [json.loads(line) for line in (tmp_path / "runs" / "r" / "log.jsonl").read_text().splitlines()]
    resumed = spawn("train", "--resume", "runs/r", "--epochs", done + 1, "--json", at=tmp_path)
    assert resumed.code == 0
    again = [json.loads(line) for line in (tmp_path / "runs" / "r" / "log.jsonl").read_text().splitlines()]
    assert again[: len(rows)] == rows


def test_a_reader_that_leaves(tmp_path):
    """`| head -1`: the printing stops, the work does not."""
    with subprocess.Popen(command("train", "digits", "--epochs", 3), cwd=tmp_path, stdout=-1, stderr=-1) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=60) == 0 and process.stderr.read() == b""
    assert json.loads((tmp_path / "runs" / "001-tiny-digits" / "run.json").read_text())["status"] == "finished"


def shell(text, at):
    """A line of sh, `minicnn` standing for this interpreter's."""
    line = text.replace("minicnn", f"'{sys.executable}' -m minicnn", 1)
    return subprocess.run(line, shell=True, cwd=at, capture_output=True, text=True, timeout=60)


def test_closed_and_full_streams(place):
    assert shell("minicnn predict m.safetensors digit.png >&-", place).returncode == 0
    assert shell("minicnn predict m.safetensors digit.png 2>&-", place).returncode == 0
    assert shell("minicnn predict m.safetensors nothing.png 2>&-", place).returncode == 3
    done = shell("minicnn predict m.safetensors digit.png --json >&-", place)
    assert done.returncode == 4 and "stdout is closed" in done.stderr
    if os.path.exists("/dev/full"):
        done = shell("minicnn predict m.safetensors digit.png --json >/dev/full", place)
        assert done.returncode == 4 and "cannot write the answer" in done.stderr


def test_a_terminal_that_knows_only_ascii(place):
    shutil.copy(place / "digit.png", place / "é.png")
    odd = {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "TERM": "dumb", "COLUMNS": "1"}
    result = spawn("predict", "m.safetensors", "é.png", "digit.png", at=place, env=odd)
    assert result.code == 0 and result.err == ""
    assert result.out.isascii() and "\x1b" not in result.out
    assert "\\xf6ne" in result.out or "\\x1b[2Jnought" in result.out


def on_a_terminal(words, at, term):
    """What a pseudo-terminal receives."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": term, "COLUMNS": "80"}
    process = subprocess.Popen(command(*words), cwd=at, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    received = b""
    while True:
        try:
            received += (chunk := os.read(ours, 65536))
        except OSError:  # Linux: the other side is closed
            break
        if not chunk:
            break
    os.close(ours)
    assert process.wait(timeout=60) == 0
    return received.decode()


def test_the_bar_on_a_terminal(tmp_path):
    seen = on_a_terminal(("train", "digits", "--epochs", 30), tmp_path, "xterm")
    assert "\x1b[" in seen and "/30" in seen and "eta" in seen
    plain = on_a_terminal(("train", "digits", "--epochs", 2), tmp_path, "dumb")
    assert "\x1b" not in plain and "val accuracy" in plain


def damage_last_byte(path):
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


FAULTS = {
    "predict-cut": (["predict", "runs/r", "digit.png"], 3, lambda at: os.truncate(at / "runs/r/model.safetensors", 3000)),
    "predict-flipped": (["predict", "runs/r", "digit.png"], 3, lambda at: damage_last_byte(at / "runs/r/model.safetensors")),
    "predict-pipe": (["predict", "pipe", "digit.png"], 3, lambda at: os.mkfifo(at / "pipe")),
    "predict-endless": (["predict", "/dev/zero", "digit.png"], 3, lambda at: None),
    "predict-loop": (["predict", "loop", "digit.png"], 4, lambda at: os.symlink("loop", at / "loop")),
    "predict-sparse": (
        ["predict", "big", "digit.png"],
        3,
        lambda at: os.truncate(os.open(at / "big", os.O_CREAT | os.O_RDWR), 1 << 35),
    ),
    "predict-no-image": (["predict", "runs/r", "none.png"], 3, lambda at: None),
    "evaluate-no-run": (["evaluate", "runs/s"], 2, lambda at: None),
    "evaluate-json": (["evaluate", "runs/r", "--json"], 3, lambda at: (at / "runs/r/run.json").write_text("{" * 10**5)),
    "resume-flipped": (["train", "--resume", "runs/r", "--json"], 3, lambda at: damage_last_byte(at / "runs/r/last.safetensors")),
    "resume-empty": (["train", "--resume", "runs/r", "--json"], 3, lambda at: os.truncate(at / "runs/r/last.safetensors", 0)),
    "out-is-a-file": (["train", "digits", "--out", "digit.png", "--json"], 4, lambda at: None),
    "no-verb": ([], 2, lambda at: None),
    "other-verb": (["trian", "digits"], 2, lambda at: None),
}


# A child counts the memory of the process it was forked from as its own peak, and this one may be large: so a small
# process in between starts the command, and writes its exit status and peak to a pipe.
BETWEEN = """
import os, sys
pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(pid, 0)
os.write(int(sys.argv[1]), b"%d %d" % (os.waitstatus_to_exitcode(status), usage.ru_maxrss))
"""


def measured(words, at, out, err) -> tuple[int, int]:
    """Exit code and peak memory in kB of a command."""
    reading, writing = os.pipe()
    between = [sys.executable, "-S", "-c", BETWEEN, str(writing), *words]
    try:
        subprocess.run(between, cwd=at, stdout=out, stderr=err, pass_fds=[writing], timeout=120, check=True)
        code, size = os.read(reading, 100).split()
    finally:
        os.close(reading)
        os.close(writing)
    return int(code), int(size)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_ends_in_one_line(place, tmp_path, fault):
    """Exit code, one error line, nothing on stdout, no traceback, no file made or changed, no temporary file, memory
    bounded.
    """
    words, code, break_it = FAULTS[fault]
    at = tmp_path / "at"
    shutil.copytree(place, at)
    break_it(at)
    before = None if fault == "predict-sparse" else tree(at)
    out, err = tmp_path / "out", tmp_path / "err"
    with open(out, "wb") as to_out, open(err, "wb") as to_err:
        code_of, size = measured(command(*words), at, to_out, to_err)
    lines = [line for line in err.read_text().splitlines() if line.startswith("minicnn: error: ")]
    assert code_of == code and len(lines) == 1, err.read_text()
    assert "Traceback" not in err.read_text()
    assert out.read_text() == "" or "none.png" in out.read_text()
    assert before is None or tree(at) == before
    assert size < 600_000  # kB: of which the imports take about 150,000


def test_a_second_training_in_the_folder(tmp_path):
    process = subprocess.Popen(command(*LONG), cwd=tmp_path, stdout=-1, stderr=-1)
    try:
        wait_for(tmp_path / "runs" / "r" / "log.jsonl", process)
        line = fails(spawn("train", "--resume", "runs/r", at=tmp_path), 6, "is in use by process")
        assert str(process.pid) in line
    finally:
        process.kill()
        process.communicate()
