#!/bin/sh
# Called by the commands of this folder: finds a Python that is new enough and hands over to environment.py.
# Plain sh: the first Python in PATH may be too old, or the PYTHONHOME of another one may stop it before its first line.
unset PYTHONHOME PYTHONPATH PYTHONSTARTUP __PYVENV_LAUNCHER__
here=$(dirname "$0")

# -S: nothing that is installed may matter before the set-up has been looked at.
for python in "$here/../.venv/bin/python" python3 python3.14 python3.13 python3.12 python3.11 python; do
    if "$python" -I -S -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        exec "$python" -I -S "$here/environment.py" "$@"
    fi
done
echo "minicnn: error: no Python 3.11 or newer in PATH; install one, or put its folder first in PATH" >&2
exit 4
