"""RUN on the command line: a run folder, a model file in one, or a model file alone."""

from pathlib import Path

from ..errors import UsageError
from .options import Common


def open_run(path: str, net_file: str | None, shared: Common):
    """(net, Run or None) of a run folder or model file.

    net_file: FILE.py with the own layers of the net, or None. Raises UsageError, EnvironmentProblem, DataError.
    """
    from .. import user_file
    from ..model_file import NAME, open_model
    from ..run import Run
    from ..run_folder import RUN

    place = Path(path)
    folder = place if place.is_dir() else place.parent if place.name == NAME else None
    own = user_file.layer_classes(user_file.load(net_file)) if net_file else []
    if place.is_dir() and not (place / NAME).exists():
        raise UsageError(f"{path} has no {NAME}: it is no run folder, or its first epoch never ended")
    net = open_model(path, own)
    net.threads = shared.threads
    run = Run.open(folder) if folder is not None and (folder / RUN).exists() else None
    return net, run
