"""Faults of models and policies: what they see has changed, or what they say."""

from __future__ import annotations

from typing import Final

from tests.support.alert_faults.case import calm, counters, fires, held_by
from tests.support.alert_series import DECIDED, LONG_AGO, W1, W2, PerMinute, Series, Value, both

_POLICY: Final = {"site": "radiology", "model": "0123456789ab", "policy": "sens95/0"}
_DIGEST: Final = {"digest": "0123456789ab"}
_OTHER: Final = 'digest="ba9876543210"'
_SERVED: Final = f'cxr_model_info{{{W2},digest="0123456789ab",role="serving"}}'
_REFUSED: Final = f'cxr_bundles_refused_total{{{W1},code="bundle_corrupt"}}'
_BORN: Final = f"process_start_time_seconds{{{W1}}}"
_READ: Final = f"cxr_policies_read_timestamp_seconds{{{W1}}}"
_CODE: Final = {"code": "bundle_corrupt"}
_HALF_A_DAY: Final = {"minutes": 600.0, "minutes_apart": 5.0}


def _decided(*, flagged: float, not_flagged: float) -> Series:
    """Let both workers together decide so many films in half a day."""
    counts = {"flagged": flagged, "not_flagged": not_flagged}
    return {
        f'cxr_decisions_total{{{worker},{DECIDED},outcome="{outcome}"}}': PerMinute(films / 1200)
        for worker in (W1, W2)
        for outcome, films in counts.items()
    }


def _blank(share: float, *, films_a_minute: float, before: float = 0.4) -> Series:
    """After seven hours without one, let this share of the films of three hours be blank; none is a lateral."""
    each, earlier, later = share * films_a_minute * 5, before * 5 / 4, films_a_minute * 5 / 4
    return (
        counters("duration_seconds_count", f"0+{earlier:g}x83 {earlier * 83:g}+{later:g}x36")
        | counters('reason="view"', 0)
        | {f'cxr_gate_total{{{W1},reason="blank"}}': f"0+0x83 0+{each:.6g}x36"}
    )


def _psi(index: Value, films: float) -> Series:
    return counters("cxr_psi{", index) | counters("cxr_psi_films", films)


def _assessed(*, agree: float, disagree: float) -> Series:
    """Let readers assess so many studies in half a day, half of them at each gateway."""
    verdicts = {"agree": agree, "disagree": disagree}
    courses = [
        both(f'cxr_assessments_total{{site="radiology",verdict="{verdict}"}}', PerMinute(studies / 1200))
        for verdict, studies in verdicts.items()
    ]
    return courses[0] | courses[1]


MODELS: Final = (
    fires(
        "TwoBundles", "one worker did not follow", {_SERVED: None, f'cxr_model_info{{{W2},{_OTHER},role="serving"}}': 1}
    ),
    calm("TwoBundles", "a candidate is prepared", {f'cxr_model_info{{{W2},{_OTHER},role="candidate"}}': 1}),
    fires("BundleRefused", "by a worker that has run for long", {_BORN: LONG_AGO, _REFUSED: "0+0x20 1+0x9"}, _CODE),
    fires("BundleRefused", "before a new worker's first scrape", {_BORN: 0, _REFUSED: 1}, _CODE, minutes=45),
    calm("BundleRefused", "an earlier hour has told of it", {_BORN: 0, _REFUSED: 1}, minutes=90),
    calm("BundleRefused", "none, and a new worker", {_BORN: 0}),
    fires("PoliciesUnread", "it stands still", {_READ: 900}, held_by(W1)),
    calm("PoliciesUnread", "its host's clock is an hour behind", {_READ: PerMinute(60, start=-3600)}),
    fires("FlagShareOutsidePolicy", "all of 80", _decided(flagged=80, not_flagged=0), _POLICY, **_HALF_A_DAY),
    fires("FlagShareOutsidePolicy", "none of 200", _decided(flagged=0, not_flagged=200), _POLICY, **_HALF_A_DAY),
    calm("FlagShareOutsidePolicy", "all of 40", _decided(flagged=40, not_flagged=0), **_HALF_A_DAY),
    calm("FlagShareOutsidePolicy", "75 of 100 may be chance", _decided(flagged=75, not_flagged=25), **_HALF_A_DAY),
    calm("FlagShareOutsidePolicy", "12 of 100 may be chance", _decided(flagged=12, not_flagged=88), **_HALF_A_DAY),
    fires("ReasonShareJump", "8 in a hundred", _blank(0.08, films_a_minute=0.4), {"reason": "blank"}, **_HALF_A_DAY),
    calm("ReasonShareJump", "4 in a hundred", _blank(0.04, films_a_minute=0.4), **_HALF_A_DAY),
    calm("ReasonShareJump", "8 in a hundred, of 36 films", _blank(0.08, films_a_minute=0.2), **_HALF_A_DAY),
    calm(
        "ReasonShareJump",
        "8 in a hundred, and little is known of before",
        _blank(0.08, films_a_minute=0.4, before=0.2),
        **_HALF_A_DAY,
    ),
    calm(
        "ReasonShareJump",
        "laterals come in the afternoon, as they did yesterday",
        counters("duration_seconds_count", PerMinute(1))
        | counters('reason="view"', "0+0.5x120 60+4x36 204+0.5x252 330+4x36"),
        minutes=2220,
        minutes_apart=5,
    ),
    calm(
        "ReasonShareJump", "ever the same share of laterals", counters('reason="view"', PerMinute(0.8)), **_HALF_A_DAY
    ),
    calm(
        "ReasonShareJump", "a first day with as many laterals as frontals", counters('reason="view"', PerMinute(0.95))
    ),
    fires(
        "ReasonShareJump",
        "a first day, and hardly anything is read",
        counters('reason="view"', PerMinute(1.8)),
        {"reason": "view"},
    ),
    fires("ScoreDrift", "0.4 over 600 scores", _psi(0.4, 600), _DIGEST, minutes=100),
    calm("ScoreDrift", "0.2 over 600 scores", _psi(0.2, 600), minutes=100),
    calm("ScoreDrift", "0.4 over 400 scores", _psi(0.4, 400), minutes=100),
    calm("ScoreDrift", "too few scores for an index", _psi("NaN+0x100", 100), minutes=100),
    fires("DriftUnwatched", "a bundle without a histogram", counters("reference_films", 0), _DIGEST, minutes=100),
    calm("DriftUnwatched", "a bundle with one", {}, minutes=100),
    fires("ReadersDisagree", "in half of 30", _assessed(agree=15, disagree=15), {"site": "radiology"}, **_HALF_A_DAY),
    calm("ReadersDisagree", "in a fifth of 60", _assessed(agree=48, disagree=12), **_HALF_A_DAY),
    calm("ReadersDisagree", "in half of 15", _assessed(agree=7.5, disagree=7.5), **_HALF_A_DAY),
    fires(
        "BlindReadingsWait",
        "thirty since yesterday",
        both('cxr_blind_waiting_studies{site="radiology"}', 30),
        {"site": "radiology"},
        minutes=800,
        minutes_apart=5,
    ),
    calm(
        "BlindReadingsWait",
        "fifteen",
        both('cxr_blind_waiting_studies{site="radiology"}', 15),
        minutes=800,
        minutes_apart=5,
    ),
    calm(
        "BlindReadingsWait",
        "thirty since this morning",
        both('cxr_blind_waiting_studies{site="radiology"}', "3+0x100 30+0x59"),
        minutes=800,
        minutes_apart=5,
    ),
)
