"""Runs the benchmarks, keeps what they say in results/, and writes the tables of README.md anew. `bin/bench` calls it.

    bin/bench                           # all of them, about 20 minutes
    bin/bench --quick                   # fewer and shorter rounds, about 6 minutes
    bin/bench train-vs-torch peers      # some of them

First it installs the packages it compares with (install_peers.py); --no-install leaves that out. A script whose package is
missing is left out, and its last results stay; one that finds wrong results makes the exit code 1.
"""
from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

import install_peers
import tables
from report import MISSING
from workers import this_checkout

FOLDER = Path(__file__).parent
# name -> options of a full run, options of a quick one
SCRIPTS = {
    "train-vs-torch": ("", "--rounds 3 --seconds 1"),
    "infer-vs-onnxruntime": ("", "--rounds 3 --seconds 0.4"),
    "conv-vs-torch": ("", "--rounds 3 --seconds 0.2"),
    "roof-share": ("", "--rounds 2 --seconds 0.2"),
    "memory-vs-torch": ("", "--rounds 1"),
    "peers": ("", "--rounds 1 --seconds 1 --nets lenet,mnist"),
}


def run(name: str, quick: bool, results: Path) -> int:
    """One script's exit code."""
    script, out = FOLDER / f"{name.replace('-', '_')}.py", results / f"{time.strftime('%Y-%m-%d')}-{name}.json"
    command = [sys.executable, str(script), *SCRIPTS[name][quick].split(), "--out", str(out)]
    return subprocess.run(command, env=this_checkout()).returncode


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="bin/bench", description="Runs the benchmarks and rewrites benchmarks/README.md.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which, of {', '.join(SCRIPTS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--no-install", action="store_true", help="compare with what is installed")
    options = parser.parse_args(argv)
    if unknown := [name for name in options.names if name not in SCRIPTS]:
        parser.error(f"no benchmark {unknown[0]!r}; known: {', '.join(SCRIPTS)}")
    if not options.no_install:
        install_peers.main()
    start, codes = time.monotonic(), {}
    for name in options.names or SCRIPTS:
        print(f"\n=== {name}", flush=True)
        codes[name] = run(name, options.quick, FOLDER / "results")
    wrote = tables.main()
    left_out = [name for name, code in codes.items() if code == MISSING]
    failed = [f"{name} (exit code {code})" for name, code in codes.items() if code not in (0, MISSING)]
    print(f"\nbench: {len(codes) - len(left_out) - len(failed)} of {len(codes)} measured in {time.monotonic() - start:.0f} s"
          + (f"; left out: {', '.join(left_out)}" if left_out else "") + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed or wrote else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))         # so that subprocess.run ends the script
    sys.exit(main())
