"""The cache of compiled kernels: our own folder, keyed by everything that can change a kernel's machine code.

Numba's own cache looks only at the file of the function itself: an edit in a helper's file leaves the old code running
(numba issue 1833), and a damaged or unwritable cache stops the program. Here the folder's name is a hash of all kernel
sources, the versions of Python, Numba, llvmlite and NumPy, and the CPU; each entry carries a checksum that is compared
before it is unpickled; a damaged entry is compiled again and replaced; a folder that cannot be used costs one warning and
the caching, nothing else. Entries are pickles, so a folder that others can write to is refused.
"""
import functools
import hashlib
import os
import pickle
import platform
import stat
import tempfile
import warnings
from pathlib import Path

import llvmlite
import numba
import numpy as np
from numba.core import compiler, config
from numba.core.serialize import dumps


def cache_root() -> Path:
    """The folder of all caches: $MINICNN_CACHE, or `minicnn` in the user's cache folder."""
    named = os.environ.get("MINICNN_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minicnn"


@functools.cache
def _key() -> str:
    """Hash of the kernel sources and of what compiles and runs them."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    codegen = numba.core.registry.cpu_target.target_context.codegen()
    facts = (platform.python_version(), numba.__version__, llvmlite.__version__, np.__version__, codegen.magic_tuple(),
             config.CPU_NAME, config.BOUNDSCHECK, config.OPT)
    digest.update(repr(facts).encode())
    return digest.hexdigest()[:20]


@functools.cache
def cache_folder() -> Path | None:
    """The folder in use, made and tested; None, after one warning, where there is no usable one."""
    place = "no home folder"
    try:
        place = cache_root()
        folder = place / "kernels" / _key()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.stat()
        if hasattr(os, "geteuid") and (state.st_uid != os.geteuid() or state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
            raise PermissionError("others can write to it")
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"probe")
    except (OSError, RuntimeError) as reason:       # RuntimeError: Path.home finds none
        what = getattr(reason, "strerror", None) or reason
        warnings.warn(f"compiled kernels are not kept: {place}: {what}", stacklevel=2)
        return None
    return folder


class KernelCache:
    """What Numba's dispatcher asks of a cache, for one function; an entry is a file of checksum and pickle."""

    def __init__(self, name: str):
        self.name = name

    def _path(self, signature) -> Path | None:
        folder = cache_folder()
        if folder is None:
            return None
        return folder / f"{self.name}-{hashlib.sha256(str(signature).encode()).hexdigest()[:16]}.bin"

    @property
    def cache_path(self):
        return str(cache_folder())

    def load_overload(self, signature, target_context):
        """The compiled function, or None where there is none or it is damaged."""
        target_context.refresh()
        path = self._path(signature)
        try:
            data = path.read_bytes() if path else b""
            if hashlib.sha256(data[32:]).digest() != data[:32]:
                return None
            return compiler.CompileResult._rebuild(target_context, *pickle.loads(data[32:]))
        except Exception:           # unreadable, or a pickle that this version cannot make sense of: compile instead
            return None

    def save_overload(self, signature, result):
        """Keeps a compiled function; a write that fails leaves no file behind and is not an error."""
        path = self._path(signature)
        if path is None:
            return
        payload = dumps(result._reduce())
        temporary = None
        try:
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".tmp", delete=False) as file:
                temporary = Path(file.name)
                file.write(hashlib.sha256(payload).digest() + payload)
            os.replace(temporary, path)
        except OSError:
            if temporary is not None:
                temporary.unlink(missing_ok=True)

    def enable(self):
        """Always on; Numba's interface."""

    def disable(self):
        """Always on; Numba's interface."""

    def flush(self):
        """Nothing to do: stale entries lie under another key."""
