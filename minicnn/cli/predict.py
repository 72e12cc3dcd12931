"""`minicnn predict RUN IMAGE...`: label images; one that cannot be read does not stop the others."""

import click

from ..errors import DataError, UsageError
from .opening import open_run
from .options import Common, Verb, common
from .screen import error, printable

BATCH = 64  # images that are decoded before the net sees them


@click.command("predict", cls=Verb, short_help="Label images.")
@click.argument("run")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--net", metavar="FILE.py", help="The file with the own layers of the net.")
@common
def command(shared: Common, run, images, net):
    """Label each IMAGE with the net of RUN, a run folder or a model file."""
    from ..user_file import blame

    model, _ = open_run(run, net, shared)
    if model.classes is None or model.preprocessing is None:
        raise UsageError(f"{run} was saved before it was trained: it knows no classes")
    width, notes, rows, failed = max(len(printable(image)) for image in images), [], [], 0
    for start in range(0, len(images), BATCH):
        with blame(net):
            answers = _label(model, images[start : start + BATCH], notes)
        for image, answer, problem in answers:
            failed += problem is not None
            rows.append(_row(model, image, answer, problem))
            name = f"{printable(image):<{width}}"
            if problem is None:
                shared.screen.answer(f"{name}  {printable(answer.label)}  {answer.probability:.3f}")
            else:
                shared.screen.answer(f"{name}  !  {printable(problem)}")
    for note in notes:
        shared.screen.warn(note)
    shared.screen.result(rows)
    if failed:
        error(f"{failed} of {len(images)} images could not be read" if len(images) > 1 else f"{images[0]}: {rows[0]['error']}")
        return DataError.exit_code
    return 0


def _label(model, images, notes):
    """[(image, Answer or None, problem or None)], the readable images in one batch."""
    import numpy as np

    from ..data import prepare
    from ..sequential import Answer

    prepared, problems = [], {}
    for image in images:
        try:
            prepared.append(prepare(image, model.preprocessing, notes))
        except DataError as problem:
            problems[image] = str(problem).removeprefix(f"{printable(image)}: ")
    probabilities = iter(model.predict(np.concatenate(prepared)) if prepared else ())
    results = []
    for image in images:
        if image in problems:
            results.append((image, None, problems[image]))
        else:
            row = next(probabilities)
            results.append((image, Answer(model.classes[int(row.argmax())], float(row.max()), row), None))
    return results


def _row(model, image, answer, problem) -> dict:
    if problem is not None:
        return {"file": image, "label": None, "probability": None, "probabilities": None, "error": problem}
    probabilities = dict(zip(model.classes, map(float, answer.probabilities), strict=True))
    return {"file": image, "label": answer.label, "probability": answer.probability, "probabilities": probabilities}
