"""Faults of those who send, and of those whom results are sent to."""

from __future__ import annotations

from typing import Final

from tests.support.alert_faults.case import calm, fires, held_by
from tests.support.alert_series import DELIVERY, DIMSE, A, PerMinute, both, without

_FULL: Final = f'cxr_rejections_total{{{A},code="queue_full"}}'
_UNKNOWN: Final = f'cxr_rejections_total{{{A},code="unauthenticated"}}'
_FORBIDDEN: Final = f'cxr_rejections_total{{{A},code="forbidden"}}'
_REJECTED: Final = f'cxr_dimse_associations_total{{{DIMSE},end="unknown_caller"}}'
_EXPIRY: Final = "cxr_keys_first_expiry_timestamp_seconds"
_DAY: Final = 86400.0
_WAITS: Final = f'cxr_outbox_oldest_age_seconds{{{DELIVERY},sink="archive"}}'
_GIVEN_UP: Final = f'cxr_delivery_dead_letters{{{DELIVERY},target="archive"}}'
_DISABLED: Final = f'cxr_delivery_target_disabled{{{DELIVERY},target="archive"}}'
_GONE: Final = "1+0x15 stale"

CALLERS: Final = (
    fires("Refusing", "five in ten minutes", {_FULL: PerMinute(0.5)}, {"code": "queue_full"}),
    calm("Refusing", "two in ten minutes", {_FULL: PerMinute(0.25)}),
    calm("Refusing", "twenty while Redis was restarted, eight minutes ago", {_FULL: "5+0x20 15 25+0x8"}),
    fires("SignInFailures", "45 a minute", {_UNKNOWN: PerMinute(45)}),
    calm("SignInFailures", "20 a minute", {_UNKNOWN: PerMinute(20)}),
    fires("AskedForTooMuch", "15 in a quarter of an hour", {_FORBIDDEN: PerMinute(1)}),
    calm("AskedForTooMuch", "seven in a quarter of an hour", {_FORBIDDEN: PerMinute(0.5)}),
    fires("KeysFileBad", "one gateway cannot read it", {f"cxr_keys_file_good{{{A}}}": 0}),
    calm("KeysFileBad", "it was being replaced", {f"cxr_keys_file_good{{{A}}}": "1+0x20 0 1+0x9"}),
    fires("KeysRunOut", "in ten days", both(_EXPIRY, 10 * _DAY), minutes=100),
    fires("KeysRunOut", "none is left", both("cxr_keys_valid", 0) | both(_EXPIRY, None), minutes=100),
    calm("KeysRunOut", "in twenty days", both(_EXPIRY, 20 * _DAY), minutes=100),
    calm("KeysRunOut", "an open gateway has none", without("cxr_keys"), minutes=100),
)

CONNECTIONS: Final = (
    fires("ListenerNotReady", "it takes no films", {f"cxr_dimse_ready{{{DIMSE}}}": 0}, held_by(DIMSE)),
    fires(
        "ListenerNotReady", "it has gone, and its name with it", without(DIMSE) | {f"cxr_dimse_ready{{{DIMSE}}}": _GONE}
    ),
    fires(
        "ListenerNotReady", "a target that never answered", without(DIMSE) | {f"up{{{DIMSE}}}": 0}, also="TargetDown"
    ),
    calm("ListenerNotReady", "no listener was ever there", without(DIMSE)),
    fires("AssociationsRejected", "nine a minute", {_REJECTED: PerMinute(9)}, {"end": "unknown_caller"}, minutes=60),
    calm("AssociationsRejected", "four a minute", {_REJECTED: PerMinute(4)}, minutes=60),
    fires("ResultsWait", "for 20 minutes", {_WAITS: 1200}, {"sink": "archive"}),
    calm("ResultsWait", "for ten minutes", {_WAITS: 600}),
    fires("ResultsGivenUp", "one", {_GIVEN_UP: 1}, {"target": "archive"}),
    calm("ResultsGivenUp", "none", {}),
    fires("TargetDisabled", "its archive said 410", {_DISABLED: 1}, {"target": "archive"}),
    calm("TargetDisabled", "it is not", {}),
    fires("DeliveryNotReady", "Redis does not answer it", {f"cxr_delivery_ready{{{DELIVERY}}}": 0}, held_by(DELIVERY)),
    fires(
        "DeliveryNotReady",
        "it has gone, and its name with it",
        without(DELIVERY) | {f"cxr_delivery_ready{{{DELIVERY}}}": _GONE},
    ),
    calm("DeliveryNotReady", "nothing was ever delivered", without(DELIVERY)),
)
