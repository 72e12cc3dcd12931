"""The failures a user is told of, each with the exit code of the command line.

0 fine · 1 the answer is "no" · 2 usage · 3 bad input · 4 environment · 5 diverged · 6 run folder in use ·
70 a bug here · 130 interrupted.
"""


class MinicnnError(Exception):
    """A failure with a one-line message for the user, and perhaps a hint on what to do."""

    exit_code = 70

    def __init__(self, message: str, hint: str | None = None):
        super().__init__(message)
        self.hint = hint


class UsageError(MinicnnError):
    """An option, net, path or verb that does not exist or does not fit."""

    exit_code = 2


class DataError(MinicnnError):
    """A file, a data set or the user's own code that cannot be used."""

    exit_code = 3


class EnvironmentProblem(MinicnnError):
    """The machine refused: disk, permission, memory, a missing package."""

    exit_code = 4


class Diverged(MinicnnError):
    """The loss or a gradient is no longer finite.

    step: optimizer step, counted from 1.  layer, tensor: where the first value that is not finite stands.
    """

    exit_code = 5

    def __init__(self, message: str, step: int = 0, layer: str = "", tensor: str = "", hint: str | None = None):
        super().__init__(message, hint)
        self.step, self.layer, self.tensor = step, layer, tensor


class Busy(MinicnnError):
    """Another process trains in the same run folder."""

    exit_code = 6
