"""`minicnn evaluate RUN [DATA]`: how good a net is on images that it was not trained on."""

import os

import click

from ..errors import UsageError
from ..program import program
from .opening import open_run
from .options import Common, Verb, common
from .screen import printable


@click.command("evaluate", cls=Verb, short_help="Precision, recall, F1 and confusion of a trained run.")
@click.argument("run")
@click.argument("data", required=False)
@click.option("--on", type=click.Choice(["test", "val", "train"]), default="test", show_default=True)
@click.option("--net", metavar="FILE.py", help="The file with the own layers of the net.")
@common
def command(shared: Common, run, data, on, net):
    """Evaluate RUN, a run folder or a model file, on the data it was trained on, or on DATA."""
    from ..data import load
    from ..run import evaluate
    from ..user_file import blame

    model, found = open_run(run, net, shared)
    if found is not None and (data is None or _is_its_own(data, found)):
        loaded = found.load_data()
    elif data is None:
        raise UsageError(f"{run} is a model without a run: name the DATA to evaluate it on")
    else:
        if model.classes is None or model.preprocessing is None:
            raise UsageError(f"{run} was saved before it was trained: it knows no classes")
        found = None  # its tests.jsonl counts openings of its own test part
        loaded = load(data, like=model, command=f"{program()} evaluate {run}")
    with blame(net):
        sheet = evaluate(model, loaded, on, found)
    shared.screen.answer("\n".join(printable(line) for line in str(sheet).splitlines()))
    shared.screen.result(sheet.as_dict())


def _is_its_own(data: str, run) -> bool:
    return data == run.source or (os.path.lexists(data) and os.path.abspath(data) == run.source)
