"""How the user calls minicnn, so that a command that is suggested can be pasted back."""
import os
import shlex


def program() -> str:
    """`minicnn`, or what `bin/minicnn` of a checkout was typed as: it says so in the variable MINICNN_COMMAND."""
    return shlex.quote(os.environ.get("MINICNN_COMMAND") or "minicnn")
