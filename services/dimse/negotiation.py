"""What is agreed on with a sender before anything is sent: SOP classes, and the transfer syntaxes of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pynetdicom import build_context
from pynetdicom.presentation import PresentationContext

from model.decoding.transfer_syntaxes import EXPLICIT_VR, IMPLICIT_VR, JUDGED_TRANSFER_SYNTAXES
from services.dicom.codes import SOP_CLASSES, SopClass

VERIFICATION = "1.2.840.10008.1.1"
_PLAIN = (EXPLICIT_VR, IMPLICIT_VR)


def transfer_syntaxes(sop_class: SopClass) -> tuple[str, ...]:
    """Return the transfer syntaxes that are offered for a SOP class.

    Of films those that the worker decodes: a sender that has others compresses anew, or learns at once that it cannot
    send, where it would otherwise get ``not_assessed(transfer_syntax)``. Documents have no pixels to compress.
    """
    if not sop_class.is_film:
        return _PLAIN
    return (*_PLAIN, *sorted(JUDGED_TRANSFER_SYNTAXES - set(_PLAIN)))


def presentation_contexts() -> list[PresentationContext]:
    """Return what is accepted."""
    films = [build_context(sop_class.uid, list(transfer_syntaxes(sop_class))) for sop_class in SOP_CLASSES]
    return [build_context(VERIFICATION, list(_PLAIN)), *films]


def as_preferred(
    supported: Iterable[PresentationContext], proposed: Iterable[PresentationContext]
) -> list[PresentationContext]:
    """Return the same contexts, with the transfer syntaxes of each in the order in which the sender names them.

    Of those that it names for one context the first of ours is taken. A sender names first what it has: the film then
    comes as it is kept there, neither unpacked nor packed anew, and is the same film as by any other way.
    """
    named: dict[str, list[str]] = {}
    for context in proposed:
        named.setdefault(str(context.abstract_syntax), []).extend(map(str, context.transfer_syntax))
    return [build_context(context.abstract_syntax or "", _ordered(context, named)) for context in supported]


def _ordered(context: PresentationContext, named: Mapping[str, Sequence[str]]) -> list[str]:
    first = named.get(str(context.abstract_syntax), ())
    places = {syntax: place for place, syntax in reversed(list(enumerate(first)))}
    return sorted(map(str, context.transfer_syntax), key=lambda syntax: places.get(syntax, len(first)))
