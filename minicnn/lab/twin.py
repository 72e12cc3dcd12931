"""A copy of a net that can be trained and timed while the user's own stays as it is."""
from __future__ import annotations

import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..sequential import Sequential


def twin(net: Sequential, threads: int | None = None) -> Sequential:
    """The net with copies of its layers, weights and running statistics included, and an engine of its own."""
    other = copy.copy(net)
    vars(other).pop("engine", None)         # it runs the layers of the original, on threads of its own
    other.layers, other.threads = copy.deepcopy(net.layers), threads
    return other
