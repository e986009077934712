"""First step: which films, with which label, in which part of the split; and a record of where all of it came from."""

from __future__ import annotations

import json
from pathlib import Path

from training.datasets.collection import PATIENTS_UNKNOWN, print_remarks
from training.datasets.reading import read_collection
from training.datasets.sample import write_samples
from training.datasets.split import shared_patients, split_samples, split_sha256
from training.datasets.tables import TOO_OLD
from training.datasets.unreadable import counts_by_part
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
    if recipe.data.split == "image":
        context.console.print(
            f"WARNING: split = 'image' lets {len(leaked)} patients share parts of the split. "
            f"Figures of this run only reproduce others that leaked alike; its bundle cannot be published.",
            style="bold red",
        )
    write_samples(output / context.run.listed.name, collection.samples, parts)
    provenance = {
        "data_fingerprint": collection.fingerprint,
        "reader": recipe.data.reader,
        "rows_without_film": collection.rows_without_film,
        "rows_too_old": sum(len(remark.places) for remark in collection.remarks if remark.kind == TOO_OLD),
        # The bundle's card repeats them, and where this machine keeps its films is nobody's business there.
        "remarks": [str(remark).replace(f"{order.data}/", "") for remark in collection.remarks],
        "split_sha256": split_sha256(parts),
        "shared_patients": len(leaked),
        "patients_known": all(remark.kind != PATIENTS_UNKNOWN for remark in collection.remarks),
        "parts": counts_by_part([(sample, parts[sample.id]) for sample in collection.samples]),
        "init_sha256": order.init_sha256,
        "init": None if order.init_facts is None else order.init_facts.model_dump(mode="json"),
        "commit": code_commit(),
        "libraries": library_versions(),
    }
    (output / context.run.provenance.name).write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")
