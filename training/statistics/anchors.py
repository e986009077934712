"""Published AUC of each finding, to print beside ours; only figures that were read in their source (ML.md §A3).

Splits differ, and with them the meaning: films or patients drawn at random flatter a network by some 3 points against
the official patient-wise list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NOTE = (
    "Networks trained on all of ChestX-ray14, some 100,000 films: CheXNet (Rajpurkar et al. 2017) and its reproduction "
    "by Zech on random splits; Wang et al., CVPR 2017, for the eight findings whose figure was confirmed (not so "
    "its split). Other films and other splits than ours: a scale, no contest."
)
SPLITS: Mapping[str, str] = {"CheXNet": "random", "Zech": "random", "Wang": "not confirmed"}

_CHEXNET_ZECH = {
    "Atelectasis": (0.809, 0.816),
    "Cardiomegaly": (0.925, 0.911),
    "Effusion": (0.864, 0.884),
    "Infiltration": (0.735, 0.708),
    "Mass": (0.868, 0.831),
    "Nodule": (0.780, 0.775),
    "Pneumonia": (0.768, 0.765),
    "Pneumothorax": (0.889, 0.874),
    "Consolidation": (0.790, 0.801),
    "Edema": (0.888, 0.898),
    "Emphysema": (0.937, 0.923),
    "Fibrosis": (0.805, 0.829),
    "Pleural_Thickening": (0.806, 0.786),
    "Hernia": (0.916, 0.901),
}
_WANG = {
    "Atelectasis": 0.716,
    "Cardiomegaly": 0.807,
    "Effusion": 0.784,
    "Infiltration": 0.609,
    "Mass": 0.706,
    "Nodule": 0.671,
    "Pneumonia": 0.633,
    "Pneumothorax": 0.806,
}
# From memory first ([M] in ML.md §A3); since read in a secondary source, the table of github.com/arnoweng/CheXNet
# (README at 3d45ee7, 2026-11-21), but not in the paper itself.
_WANG_SECOND_HAND = {
    "Consolidation": 0.708,
    "Edema": 0.835,
    "Emphysema": 0.815,
    "Fibrosis": 0.769,
    "Pleural_Thickening": 0.708,
    "Hernia": 0.767,
}


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published AUC; one that ``is_confirmed`` stands among the ``anchors`` too."""

    auc: float
    is_confirmed: bool


def wang_2017(finding: str) -> Published | None:
    """Return the AUC of Wang et al., CVPR 2017, for a finding in NIH's spelling, confirmed or not; ``None`` of others.

    Report 004 counts the findings in which it is above all 14 of them.
    """
    for published, is_confirmed in ((_WANG, True), (_WANG_SECOND_HAND, False)):
        if finding in published:
            return Published(auc=published[finding], is_confirmed=is_confirmed)
    return None


def anchors(finding: str) -> list[dict[str, str | float]]:
    """Return name, split and AUC of each published figure for a finding in NIH's spelling; none for other labels."""
    published = dict(zip(("CheXNet", "Zech"), _CHEXNET_ZECH.get(finding, ()), strict=False))
    if finding in _WANG:
        published["Wang"] = _WANG[finding]
    return [{"name": name, "split": SPLITS[name], "auc": value} for name, value in published.items()]
