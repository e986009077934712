"""What may be said of where a network, its films and its probability come from, in one voice for all that is read.

Reads a run's provenance, which facts the backbone's own sidecar put there; nobody types what a network was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.provenance import patients_known

UNKNOWN_PATIENTS = (
    "Patients unknown: the collection names none, each film counts as a patient of its own. Films of one patient may "
    "lie in several parts, intervals may be too narrow, and every figure may flatter."
)


def data_sentence(provenance: Mapping[str, Any]) -> str:
    """Return how many films of how many patients all parts hold together, and how many labels are disputed."""
    parts = provenance["parts"].values()
    disputed = sum(part["disputed"] for part in parts)
    films = f"{sum(part['films'] for part in parts):,} films" + (f" ({disputed:,} disputed)" if disputed else "")
    if not patients_known(provenance):
        return f"{films}, patients unknown"
    if provenance["shared_patients"]:
        # Patients of several parts would be counted several times; the row of parts says how many there are.
        return films
    return f"{films} of {sum(part['patients'] for part in parts):,} patients"


def pretraining_sentence(provenance: Mapping[str, Any]) -> str:
    """Return what the backbone had learned before this run, and what is not known of it."""
    sha256, facts = provenance["init_sha256"], provenance.get("init")
    if sha256 is None:
        return "Trained from random weights."
    if facts is None:
        return (
            f"Starts from given weights (sha256 {sha256}) that do not say what they were trained on; whether films or "
            "patients of the test part were among it is unknown."
        )
    return (
        f"Starts from a backbone (sha256 {facts['sha256']}) pretrained without labels, by {facts['method']}, on "
        f"{facts['films']:,} films at {facts['recipe']['size']} pixels for {facts['recipe']['epochs']} epochs; "
        f"{_twins(facts['twins_left_out'])}"
    )


def unseen(provenance: Mapping[str, Any]) -> str:
    """Return what the test films are to the network, as the end of "films of 130 ..."."""
    if provenance["shared_patients"]:
        return "patients, some of whom it was trained on"
    if not patients_known(provenance):
        return "patients, if each film is one: patients unknown"
    if provenance["init_sha256"] is not None:
        return "patients on whose films this run did not train"
    return "patients it never saw"


def offset_words(export: Mapping[str, Any]) -> str:
    """Return what calibration adds to the logit, to follow the temperature; nothing where it adds nothing."""
    return f", offset {export['calibration_offset']:+.3f}" if export["calibration_offset"] else ""


def calibration_remarks(export: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what the export remarks on the calibration, as a sentence."""
    remark = export["calibration_remark"]
    return () if remark is None else (f"{remark[:1].upper()}{remark[1:].removesuffix('.')}.",)


def left_out_sentences(left_out: Mapping[str, Any]) -> tuple[str, ...]:
    """Return which films the run left out, and why; nothing where it left out none."""
    unreadable, too_old, sentences = left_out["unreadable"], left_out["too_old"], []
    if unreadable["films"]:
        parts = ", ".join(f"{part} {count:,}" for part, count in unreadable["parts"].items())
        sentences.append(f"Films that do not decode and were left out: {unreadable['films']:,} ({parts}).")
    if too_old:
        sentences.append(f"Rows of patients older than `data.oldest_years` that were left out: {too_old:,}.")
    return tuple(sentences)


def _twins(left_out: int | None) -> str:
    if left_out is None:
        return "nobody looked whether test films were among them."
    return (
        f"{left_out:,} films that look like one of the collection kept apart (--apart-from) were left out first. "
        "Whether other films of its patients were among the rest is unknown."
    )
