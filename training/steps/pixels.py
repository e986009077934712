"""Second step: every film decoded once and preprocessed to all sizes of the recipe, by the functions that serve films.

One file a size; every later step reads pixels from there alone, and of the films in ``samples.csv`` alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from model.image import Tensor
from training.datasets.caches import flush, reserve, shorten
from training.datasets.films import FilmSource, Tensors, try_film_tensors
from training.datasets.labels import Table
from training.datasets.sample import Part, Sample, read_samples, write_samples
from training.datasets.split import require_both_classes
from training.datasets.unreadable import Unreadable, print_unreadable, write_unreadable
from training.errors import DatasetError
from training.progress import track
from training.step import StepContext


def run(context: StepContext, output: Path) -> None:
    """Write ``tensors-<size>.npy``, ``(n, 1, s, s)`` uint8 for each size, and ``samples.csv`` of those n films.

    ``unreadable.csv`` lists the films that do not decode, which are in neither of the two; it is a header alone where
    ``data.unreadable_images`` does not skip them.

    Raises
    ------
    DatasetError
        If a film does not decode and is not to be skipped (the message names it), or those that do leave a part with
        films of one class only.
    RunError
        If the disk has no room for the caches; nothing was decoded then.
    """
    recipe = context.order.recipe
    table = read_samples(context.run.listed)
    paths = [output / context.run.tensors(size).name for size in recipe.sizes]
    caches = [reserve(path, (len(table), 1, size, size), "u1") for path, size in zip(paths, recipe.sizes, strict=True)]
    specs = [recipe.preprocessing.model_copy(update={"size": size}) for size in recipe.sizes]
    films = (FilmSource(context.order.data / sample.path, sample.frame) for sample, _ in table)
    with closing(try_film_tensors(films, specs)) as outcomes:
        tracked = track(outcomes, total=len(table), label="decoding films", console=context.console)
        decoded, unreadable = _fill(caches, table, tracked, skip=recipe.data.unreadable_images == "skip")
    if unreadable:
        _require_enough(decoded, unreadable, leave_out_disputed=recipe.data.leave_out_disputed)
        print_unreadable(unreadable, "do not decode and are left out", context.run.unreadable, context.console)
        for path in paths:
            shorten(path, len(decoded))
    parts = {sample.id: part for sample, part in decoded}
    write_samples(output / context.run.samples.name, [sample for sample, _ in decoded], parts)
    write_unreadable(output / context.run.unreadable.name, unreadable)


def _fill(
    caches: list[Tensor], table: Table, outcomes: Iterable[Tensors | DatasetError], *, skip: bool
) -> tuple[Table, list[Unreadable]]:
    """Put the tensors of every film that decodes into the next row of each cache; return those films and the others."""
    decoded: list[tuple[Sample, Part]] = []
    unreadable: list[Unreadable] = []
    for (sample, part), outcome in zip(table, outcomes, strict=True):
        if isinstance(outcome, DatasetError):
            if not skip:
                hint = "mend or remove it, or leave out what does not decode with data.unreadable_images = 'skip'"
                raise DatasetError(f"{outcome}; {hint}") from outcome
            unreadable.append(Unreadable(sample.id, part, str(outcome)))
            continue
        for cache, tensor in zip(caches, outcome, strict=True):
            cache[len(decoded)] = tensor
        decoded.append((sample, part))
    for cache in caches:
        flush(cache)
    return decoded, unreadable


def _require_enough(decoded: Table, unreadable: list[Unreadable], *, leave_out_disputed: bool) -> None:
    samples = [sample for sample, _ in decoded if not (leave_out_disputed and sample.is_disputed)]
    reason = f"{len(unreadable)} films of the collection do not decode, such as: {unreadable[0].reason}"
    require_both_classes(samples, {sample.id: part for sample, part in decoded}, reason=reason)
