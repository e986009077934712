"""How the card begins: what the network is for, and a table of what it is and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.provenance import patients_known
from training.recipe import Recipe
from training.reporting.architecture import network_sentence, normalisation_words
from training.reporting.origins import data_sentence, offset_words, pretraining_sentence
from training.statistics.figures import show

_INTRODUCTION = """\
# {name} {version}

Scores a frontal chest radiograph: how likely is it *unhealthy*, that is, how likely does it carry any finding? A film
at or above the chosen operating point is flagged for a radiologist to look at first.

**Research use only. Not a medical device.** It has no regulatory clearance, no radiologist has checked its labels, and
it must not decide that a film needs no reading. Below the threshold means *not flagged*, never *healthy*.

| | |
|---|---|
| network | {network}; {parameters:,} parameters |
| before this training | {origin} |
| input | {size} x {size} gray{age_sex}, letterboxed; decoded and preprocessed by the same functions as in training |
| normalisation | in the graph: {normalisation} |
| data | {training_data}: {dealt_out} |
| licence of the data | {licence} |
| parts | {parts} |
| code | commit {commits}, recipe sha256 `{recipe_sha256}` |
| graph | {ships}, {megabytes:.1f} MB ONNX, opset {opset} |
| parity | fp32 within {parity} of the torch network on {parity_films} films |
| calibration | temperature {temperature:.3f}{offset}, prior shift {shift:+.3f}; expected error on test {calibration} |
"""


def introduction(recipe: Recipe, report: Mapping[str, Any]) -> str:
    """Return title, purpose, warning and the table of facts."""
    export, parts = report["export"], report["provenance"]["parts"]
    fp32, is_known = export["variants"]["fp32"], patients_known(report["provenance"])
    dealt = "; ".join(
        f"{name} {part['films']} films" + (f" of {part['patients']} patients" if is_known else "")
        for name, part in parts.items()
    )
    shared = f"{report['provenance']['shared_patients']} patients in two of them" if is_known else "patients unknown"
    made = report["network"]
    return _INTRODUCTION.format(
        name=recipe.bundle.name,
        version=recipe.bundle.version,
        network=network_sentence(made),
        parameters=made["parameters"],
        age_sex=", age and sex where known" if made["age_sex"] else "",
        normalisation=normalisation_words(made),
        offset=offset_words(export),
        origin=pretraining_sentence(report["provenance"]),
        size=recipe.preprocessing.size,
        training_data=recipe.bundle.training_data,
        dealt_out=data_sentence(report["provenance"]),
        licence=recipe.bundle.licence,
        parts=f"{dealt}; {shared}",
        commits=" and ".join(f"`{commit}`" for commit in dict.fromkeys(report["commits"].values())),
        recipe_sha256=recipe.sha256,
        ships=report["ships"],
        megabytes=export["variants"][report["ships"]]["graph_bytes"] / 1e6,
        opset=export["opset"],
        parity=f"{fp32['parity_max_difference']:.1e}",
        parity_films=fp32["parity_films"],
        temperature=export["temperature"],
        shift=export["prior_shift"],
        calibration=show(report["calibration"]["expected_calibration_error"]),
    )
