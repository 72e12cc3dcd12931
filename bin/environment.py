"""Sets up .venv in this checkout where that is needed, then becomes the command that was asked for.

    python -I -S environment.py minicnn|test|bench ARGUMENTS...

.venv/set-up.json says what the environment was made from. It says "unfinished" from the first moment to the last, so a
set-up that was stopped half-way is known as one. What a start finds decides what it does:

    nothing; an unfinished set-up; a checkout that has moved; another Python behind .venv     make it anew
    setup.cfg or pyproject.toml changed; extras are missing; a .venv made by hand             install again, into it
    all as it was                                                                             run at once

One set-up at a time: a second start waits for the lock, looks again and finds the work done. Standard library only.
"""

import contextlib
import hashlib
import json
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STATE = VENV / "set-up.json"
LOG = VENV / "set-up.log"
UNFINISHED = "unfinished"
ENVIRONMENT_PROBLEM, INTERRUPTED = 4, 130

# What a command needs installed besides minicnn itself.
EXTRAS = {"minicnn": set(), "test": {"test"}, "bench": set()}
# Settings of pip that say where packages come from. Any other (PIP_TARGET, PIP_NO_DEPS ...) would change what is done.
PIP_SOURCES = {"INDEX_URL", "EXTRA_INDEX_URL", "NO_INDEX", "FIND_LINKS", "CERT", "CLIENT_CERT", "TRUSTED_HOST", "PROXY",
               "TIMEOUT", "DEFAULT_TIMEOUT", "RETRIES", "CACHE_DIR", "NO_CACHE_DIR", "CONFIG_FILE", "KEYRING_PROVIDER"}


class SetUpFailed(Exception):
    """A step of the set-up failed; the message is the line for the user."""


def say(text: str) -> None:
    """One line for the person who waits; stdout belongs to the command."""
    print(f"minicnn: {text}", file=sys.stderr, flush=True)


def made_from() -> dict:
    """What the environment depends on, as it is now."""
    packaging = (ROOT / "setup.cfg").read_bytes() + (ROOT / "pyproject.toml").read_bytes()
    return {"place": str(ROOT), "python": os.path.realpath(PYTHON), "packaging": hashlib.sha256(packaging).hexdigest()}


def recorded() -> dict | None:
    """What the environment was made from, and its "extras"; {} for an unfinished set-up, None without a record."""
    try:
        state = json.loads(STATE.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def fits(state: dict | None, extras: set) -> bool:
    """Whether the environment can be used as it is."""
    return bool(state) and PYTHON.exists() and made_from().items() <= state.items() and extras <= set(state["extras"])


def ensure(extras: set) -> None:
    """Make the environment fit, under the lock; does nothing where it fits already."""
    if fits(recorded(), extras):
        return
    with lock() as handle:
        state = recorded()
        if fits(state, extras):         # another start did it while this one waited
            return
        started = time.monotonic()
        extras = extras | set((state or {}).get("extras", ()))
        if reason := reason_to_rebuild(state):
            say(f"{reason}: making {VENV} and installing what minicnn needs; this takes a minute or two, once")
            create(handle)
        else:
            say(f"setup.cfg has changed, or more is needed: installing into {VENV}")
            adopt(state)
        target = f"{ROOT}[{','.join(sorted(extras))}]" if extras else str(ROOT)
        run([PYTHON, "-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "-e", target], handle)
        put_on_path()
        STATE.write_text(json.dumps({**made_from(), "extras": sorted(extras)}), "utf-8")
        say(f"ready after {time.monotonic() - started:.0f} s")


def reason_to_rebuild(state: dict | None) -> str:
    """Why an existing .venv is no use, in words; empty where installing again is enough."""
    if not VENV.exists():
        return "first use"
    if state == {} or not (VENV / "pyvenv.cfg").exists():
        return "the last set-up was not finished"
    if state and state["place"] != str(ROOT):
        return "this checkout has moved"
    if state and not (PYTHON.exists() and state["python"] == os.path.realpath(PYTHON)):
        return "the Python behind .venv has changed"
    return ""


def create(handle: int) -> None:
    """A new .venv, marked as unfinished from its first moment on."""
    import shutil

    if VENV.is_symlink():               # what it points to is not ours to remove
        VENV.unlink()
    elif VENV.exists():
        (VENV / "pyvenv.cfg").unlink(missing_ok=True)       # first: half a removal must not look like a .venv by hand
        shutil.rmtree(VENV)
    VENV.mkdir()
    STATE.write_text(json.dumps(UNFINISHED), "utf-8")
    # The base: this Python may be that of the .venv just removed.
    run([getattr(sys, "_base_executable", sys.executable), "-I", "-m", "venv", VENV], handle)


def adopt(state: dict | None) -> None:
    """Prepare to install into an existing .venv; one made by hand is used if it can be, and never removed."""
    import subprocess

    if state:
        STATE.write_text(json.dumps(UNFINISHED), "utf-8")
        return
    probe = "import pip, sys; sys.exit(sys.version_info < (3, 11))"
    if not PYTHON.exists() or subprocess.run([PYTHON, "-I", "-c", probe], capture_output=True).returncode:
        raise SetUpFailed(f"{VENV} was made by hand and has no pip, or no Python 3.11; remove it and start again")


def put_on_path() -> None:
    """Name the root in a .pth file, besides the finder that pip's editable install puts behind Python's own.

    A Python started beside a clone, which is called minicnn, would take that folder for a namespace package and never
    ask the finder; a package on the path it prefers.
    """
    for site in VENV.glob("lib/python*/site-packages"):
        (site / "minicnn-checkout.pth").write_bytes(os.fsencode(ROOT) + b"\n")


def run(command: list, handle: int) -> None:
    """One step of the set-up, its output kept in the log; if it fails, shows the log's end and raises SetUpFailed."""
    import subprocess

    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith("PIP_") or name.removeprefix("PIP_") in PIP_SOURCES}
    environment["PIP_USER"] = "0"       # a pip.conf may say otherwise
    with open(LOG, "ab") as log:
        log.write(f"$ {' '.join(map(str, command))}\n".encode())
        log.flush()
        begin = log.tell()
        # The child holds the lock as well: it may outlive this process when that is killed.
        done = subprocess.run(command, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                              pass_fds=[handle])
    if done.returncode:
        end = LOG.read_bytes()[begin:].decode("utf-8", "replace").splitlines()[-30:]
        print(*(f"    {line}" for line in end), sep="\n", file=sys.stderr)
        advice = "the reason stands above"
        if "ensurepip" in "\n".join(end):
            advice = "Python's venv module is incomplete (Debian and Ubuntu: apt install python3-venv)"
        raise SetUpFailed(f"the set-up failed; {advice}; all output: {LOG}; the next start tries again")


@contextlib.contextmanager
def lock():
    """Holds .venv.lock, which the system frees however this process ends; yields its file descriptor."""
    import fcntl

    with open(ROOT / ".venv.lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up of this checkout is running; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def minicnn(arguments: list[str]) -> None:
    """Become the command line. -P: a random.py in the user's current folder must not be taken for Python's."""
    os.execv(PYTHON, [PYTHON, "-P", "-m", "minicnn", *arguments])


def test(arguments: list[str]) -> int:
    """Lint, then become pytest with the root as current folder; paths among the arguments stay the caller's."""
    import subprocess

    here = Path.cwd()
    say(" ".join(["ruff check, then pytest", *arguments]))
    if code := subprocess.run([PYTHON, "-P", "-m", "ruff", "check", "--quiet", ROOT]).returncode:
        return code
    if here != ROOT:
        arguments = [str(here / word) if not word.startswith("-") and (here / word.split("::")[0]).exists() else word
                     for word in arguments]
    os.chdir(ROOT)
    os.execv(PYTHON, [PYTHON, "-m", "pytest", *arguments])


def bench(arguments: list[str]) -> None:
    """Become the script that runs the benchmarks, which installs what it compares with: a missing library stops nothing."""
    os.execv(PYTHON, [PYTHON, ROOT / "benchmarks" / "everything.py", *arguments])


def main(name: str, arguments: list[str]) -> int:
    """Set up, then run; comes back with an exit code only where the command could not start (or lint failed)."""
    try:
        ensure(EXTRAS[name])
    except SetUpFailed as failure:
        say(f"error: {failure}")
    except OSError as failure:
        say(f"error: cannot set up {VENV}: {failure}")
    except KeyboardInterrupt:
        say("error: interrupted during the set-up; the next start begins it again")
        return INTERRUPTED
    else:
        return {"minicnn": minicnn, "test": test, "bench": bench}[name](arguments)
    return ENVIRONMENT_PROBLEM


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
