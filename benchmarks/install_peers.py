"""Installs what the benchmarks are compared with, one package after the other: one that can not be had stops nothing.

    python benchmarks/install_peers.py

The versions are those of requirements.txt. pip's own settings say where packages come from.
"""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from report import version

REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def pins(text: str) -> dict[str, str]:
    """{package: version} of lines `package==version`."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("==") for line in lines)


def missing() -> list[str]:
    """The requirements that are not installed in that version; "2.13.0+cpu" is 2.13.0."""
    return [f"{name}=={wanted}" for name, wanted in pins(REQUIREMENTS.read_text("utf-8")).items()
            if (version(name) or "").partition("+")[0] != wanted]


def main() -> int:
    for requirement in missing():
        print(f"bench: installing {requirement}", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", requirement]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            print(f"bench: {requirement} can not be installed, its rows are left out: {last}", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
