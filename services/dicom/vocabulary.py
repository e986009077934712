"""The words of our results: codes of the standard, and a private scheme for what no standard has a code for.

A triage outcome is no finding. DICOM's "No abnormality" (111286, DCM) is deliberately not here: that a film was not
flagged says nothing of the kind (DESIGN §2). Needs pydicom alone.
"""

from __future__ import annotations

from typing import Final

from pydicom.sr.coding import Code

from model.decision import Outcome
from model.errors import Reason

SCHEME: Final = "99CXRTRIAGE"
SCHEME_NAME: Final = "Chest X-ray triage outcomes"

ABNORMAL: Final = Code("263654008", "SCT", "Abnormal")
CHEST_FILM: Final = Code("399208008", "SCT", "Plain chest X-ray")
PROBABILITY: Final = Code("122157", "DCM", "Probability")
NO_UNITS: Final = Code("1", "UCUM", "no units")
# IHE IOCM: archives no longer give out what a note of this title names. A withdrawn film may be another patient's.
REJECTED: Final = Code("113037", "DCM", "Rejected for Patient Safety Reasons")

TRIAGE_OUTCOME: Final = Code("TRIAGE_OUTCOME", SCHEME, "Triage outcome")
TRIAGE_REASON: Final = Code("TRIAGE_REASON", SCHEME, "Reason why the film was not assessed")

_OUTCOMES: Final = {
    Outcome.FLAGGED: Code("FLAGGED", SCHEME, "Flagged: read this film first"),
    Outcome.NOT_FLAGGED: Code("NOT_FLAGGED", SCHEME, "Not flagged; still to be read"),
    Outcome.NOT_ASSESSED: Code("NOT_ASSESSED", SCHEME, "Not assessed: nobody judged this film"),
}

# Drawn into the overlay, and the description of every series of ours.
DISCLAIMER: Final = "AI triage aid, not a diagnosis"
MANUFACTURER: Final = "cxr-triage"


def outcome_code(outcome: Outcome) -> Code:
    """Return the private code of an outcome."""
    return _OUTCOMES[outcome]


def reason_code(reason: Reason) -> Code:
    """Return the private code of a reason: the words of the record in capitals."""
    return Code(reason.value.upper(), SCHEME, reason.value.replace("_", " ").capitalize())
