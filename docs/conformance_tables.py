"""docs/conformance.md: the prose of ``conformance.template`` with tables that the running code holds.

What a table names is what negotiation, routes and builders use: a class or a status that is added there appears here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings
from pydicom.sr.coding import Code
from pydicom.uid import UID

from model.decision import Outcome
from model.decoding.transfer_syntaxes import EXPLICIT_VR, IMPLICIT_VR, LOSSY
from services.dicom import vocabulary
from services.dicom.codes import (
    COMPREHENSIVE_3D_SR,
    FAILURES,
    KEY_OBJECTS,
    PRODUCED,
    SECONDARY_CAPTURE,
    SOP_CLASSES,
    Failure,
    Status,
)
from services.dimse.errors import DimseError
from services.dimse.negotiation import VERIFICATION, transfer_syntaxes
from services.dimse.part10 import IMPLEMENTATION_CLASS_UID
from services.dimse.statuses import status_of
from services.jobs.settings import DeliverySettings, DimseSettings

_TEMPLATE: Final = Path(__file__).with_name("conformance.template")
_SLOT: Final = re.compile(r"^\{\{ (\w+) \}\}$", re.MULTILINE)
# What an association's own errors say nothing of, because they end it or the process.
_WITHOUT_STATUS: Final = frozenset({"protocol_violated", "film_too_slow", "listener_ended"})
# A class that is made and not described here stops the generator.
_MADE: Final = {
    COMPREHENSIVE_3D_SR: ("SR", "one for each decision of a film"),
    SECONDARY_CAPTURE: ("OT", "one for each score that has a heat map"),
    KEY_OBJECTS: ("KO", "one where a film is withdrawn that results were made of"),
}


def conformance_page(generated: str) -> str:
    """Return docs/conformance.md; ``generated`` is the line that says so. A slot without a table raises KeyError."""
    tables = {
        "generated": generated,
        "implementation": f"`{IMPLEMENTATION_CLASS_UID}`",
        "overview": _overview(),
        "taken": _taken(),
        "film_syntaxes": _syntaxes(is_film=True),
        "document_syntaxes": _syntaxes(is_film=False),
        "produced": _produced(),
        "failures": _failures(),
        "dimse_failures": _dimse_failures(),
        "statuses": _statuses(),
        "codes": _codes(),
        "listener_settings": _settings(DimseSettings),
        "delivery_settings": _settings(DeliverySettings),
    }
    text = _TEMPLATE.read_text(encoding="utf-8")
    unused = set(tables) - set(_SLOT.findall(text))
    if unused:
        raise KeyError(f"conformance.template has no slot for {', '.join(sorted(unused))}")
    return _SLOT.sub(lambda slot: tables[slot[1]], text)


def _table(head: str, rows: Iterable[str]) -> str:
    columns = head.count("|") - 1
    return "\n".join([head, "|" + "---|" * columns, *rows])


def _name(uid: str) -> str:
    return UID(uid).name


def _overview() -> str:
    names = {VERIFICATION: "Verification"} | {known.uid: known.name for known in (*SOP_CLASSES, *PRODUCED)}
    made, taken = ({known.uid for known in classes} for classes in (PRODUCED, SOP_CLASSES))
    rows = (
        f"| {name} | `{uid}` | {_yes(uid in made)} | {_yes(uid in taken | {VERIFICATION})} |"
        for uid, name in names.items()
    )
    return _table("| SOP class | UID | user (SCU) | provider (SCP) |", rows)


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "–"


def _taken() -> str:
    rows = (
        f"| {taken.name} | `{taken.uid}` | "
        f"{'a film, with an outcome' if taken.is_film else 'read for what it withdraws, not kept'} |"
        for taken in SOP_CLASSES
    )
    return _table("| SOP class | UID | what becomes of it |", rows)


def _syntaxes(*, is_film: bool) -> str:
    (offered,) = {transfer_syntaxes(taken) for taken in SOP_CLASSES if taken.is_film is is_film}
    rows = (f"| {_name(uid)} | `{uid}` | {_yes(uid in LOSSY)} |" for uid in offered)
    return _table("| transfer syntax | UID | may have lost something |", rows)


def _produced() -> str:
    syntaxes = f"{_name(EXPLICIT_VR)}, {_name(IMPLICIT_VR)}"
    rows = (f"| {made.name} | `{made.uid}` | {' | '.join(_MADE[made.uid])} | {syntaxes} |" for made in PRODUCED)
    return _table("| SOP class | UID | Modality (0008,0060) | when | transfer syntaxes offered |", rows)


def _failures() -> str:
    rows = (_failure_row(kind, failure) for kind, failure in FAILURES.items())
    return _table("| code | condition | failure reason (0008,1197) | C-STORE status | again? |", rows)


def _failure_row(kind: type[Exception], failure: Failure) -> str:
    own_code = kind.__dict__.get("code", "image_error")
    again = "yes, later" if failure.is_temporary else "no"
    status = status_of(kind.__new__(kind))
    reason = f"{_hex(failure.status)} ({failure.status.value})"
    return f"| `{own_code}` | {_summary(kind)} | {reason} | {_hex(status)} | {again} |"


def _dimse_failures() -> str:
    kinds = [kind for kind in _leaves(DimseError) if kind.__dict__["code"] not in _WITHOUT_STATUS]
    rows = (
        f"| `{kind.__dict__['code']}` | {_summary(kind)} | {_hex(status_of(kind.__new__(kind)))} |" for kind in kinds
    )
    return _table("| code, also the Error Comment (0000,0902) | condition | C-STORE status |", rows)


def _statuses() -> str:
    rows = (f"| {_hex(status)} | {status.value} | {_words(status)} |" for status in Status)
    return _table("| code | decimal, as in DICOM JSON | meaning |", rows)


def _codes() -> str:
    concepts = [(name, code) for name, code in vars(vocabulary).items() if isinstance(code, Code)]
    outcomes = [(f"outcome `{outcome}`", vocabulary.outcome_code(outcome)) for outcome in Outcome]
    rows = (
        f"| {label if label.startswith('outcome') else label.replace('_', ' ').lower()} | `{code.value}` | "
        f"{code.scheme_designator} | {code.meaning} |"
        for label, code in [*concepts, *outcomes]
    )
    return _table("| used for | code value | scheme | meaning |", rows)


def _settings(settings: type[BaseSettings]) -> str:
    prefix = settings.model_config["env_prefix"]
    rows = (
        f"| `{f'{prefix}{name}'.upper()}` | {_shown(field)} | {field.description} |"
        for name, field in settings.model_fields.items()
    )
    return _table("| parameter | default | consequence |", rows)


def _shown(field: Any) -> str:
    return "–" if field.default in (None, PydanticUndefined) else f"`{field.default}`"


def _words(status: Status) -> str:
    return status.name.replace("_", " ").capitalize().replace("Sop", "SOP")


def _hex(status: Status) -> str:
    return f"{status.value:04X}H"


def _summary(kind: type[Exception]) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0].replace("``", "`")


def _leaves(root: type[Exception]) -> Iterator[type[Exception]]:
    for child in root.__subclasses__():
        yield child
        yield from _leaves(child)
