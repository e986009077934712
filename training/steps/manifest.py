"""First step: which films, with which label, in which part of the split; and a record of where all of it came from."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from training.datasets.collection import PATIENTS_UNKNOWN, print_remarks
from training.datasets.reading import read_collection
from training.datasets.sample import Part, Sample, write_samples
from training.datasets.split import shared_patients, split_samples, split_sha256
from training.provenance import code_commit, library_versions
from training.step import StepContext


def run(context: StepContext, output: Path) -> None:
    """Read the collection, deal its patients out, and write ``samples.csv`` and ``provenance.json``.

    Raises
    ------
    DatasetError, PatientLeakage
        As the reader and the split do.
    """
    order = context.order
    recipe = order.recipe
    collection = read_collection(order.data, recipe.data)
    print_remarks(collection.remarks, context.console)
    parts = split_samples(collection.samples, recipe.data, recipe.seed)
    leaked = shared_patients(collection.samples, parts)
    if leaked:
        context.console.print(
            f"WARNING: split = 'image' lets {len(leaked)} patients share parts of the split. "
            f"Figures of this run only reproduce others that leaked alike; its bundle cannot be published.",
            style="bold red",
        )
    write_samples(output / context.run.samples.name, collection.samples, parts)
    provenance = {
        "data_fingerprint": collection.fingerprint,
        "reader": recipe.data.reader,
        "rows_without_film": collection.rows_without_film,
        "remarks": [str(remark) for remark in collection.remarks],
        "split_sha256": split_sha256(parts),
        "shared_patients": len(leaked),
        "patients_known": all(remark.kind != PATIENTS_UNKNOWN for remark in collection.remarks),
        "parts": {
            part: _counts([sample for sample in collection.samples if parts[sample.id] is part]) for part in Part
        },
        "init_sha256": order.init_sha256,
        "init": None if order.init_facts is None else order.init_facts.model_dump(mode="json"),
        "commit": code_commit(),
        "libraries": library_versions(),
    }
    (output / context.run.provenance.name).write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")


def _counts(samples: list[Sample]) -> dict[str, int]:
    views = Counter(sample.view or "unknown" for sample in samples)
    return {
        "films": len(samples),
        "patients": len({sample.patient for sample in samples}),
        "unhealthy": sum(sample.is_unhealthy for sample in samples),
        "disputed": sum(sample.is_disputed for sample in samples),
        **{f"view_{view}": count for view, count in sorted(views.items())},
    }
