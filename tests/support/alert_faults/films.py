"""Faults of films, and of what Prometheus sees at all."""

from __future__ import annotations

from typing import Final

from tests.support.alert_faults.case import calm, counters, fires, held_by
from tests.support.alert_series import HEALTHY, LONG_AGO, REDIS, W1, W2, A, B, PerMinute, both, without

_NOTHING_DECIDED: Final = counters("cxr_end_to_end", 90) | counters("cxr_decisions_total", 50) | counters("gate", 9)
_NIGHT: Final = _NOTHING_DECIDED | both("cxr_queue_open_films", 0)
_ENDED_BY_US: Final = f'cxr_gate_total{{{W1},reason="retries_exhausted"}}'
_DIGEST: Final = f'cxr_gate_total{{{W1},reason="payload_digest"}}'
_BORN: Final = f"process_start_time_seconds{{{W1}}}"
_OLD: Final = dict.fromkeys((_BORN,), LONG_AGO)
_SILENT_GATEWAYS: Final = without(A, B) | {f"up{{{A}}}": 0, f"up{{{B}}}": 0}

SIGHT: Final = (
    fires("GatewayDown", "both gateways refuse to be scraped", _SILENT_GATEWAYS, also="TargetDown"),
    fires("GatewayDown", "no gateway has a name any more", without(A, B)),
    fires("GatewayDown", "Prometheus has no target at all", without("{"), also="RedisUnwatched"),
    calm("GatewayDown", "one of two gateways answers", without(B)),
    fires(
        "TargetDown", "a worker does not answer", without(W1) | {f"up{{{W1}}}": 0}, held_by(W1), also="WorkersUnscraped"
    ),
    calm("TargetDown", "a process is not asked for three minutes", {f"up{{{W1}}}": "1+0x26 0+0x3"}),
    fires("WorkersUnscraped", "three live and two are scraped", both("cxr_workers_live", 3)),
    fires("WorkersUnscraped", "two live and none is scraped", without(W1, W2), also="NothingDecided"),
    calm("WorkersUnscraped", "two live and two are scraped", {}),
    fires("RedisUnwatched", "the exporter may not sign in", {f"redis_up{{{REDIS}}}": 0}),
    fires("RedisUnwatched", "there is no exporter", without(REDIS)),
    calm("RedisUnwatched", "the exporter is well", {}),
)

FILMS: Final = (
    fires("NothingDecided", "films wait and nothing ends", _NOTHING_DECIDED),
    fires(
        "NothingDecided",
        "films wait and nobody who decides was ever scraped",
        without(W1, W2) | both("cxr_workers_live", 0),
        also="NoWorker",
    ),
    calm("NothingDecided", "a night without films", _NIGHT, minutes=60),
    calm(
        "NothingDecided",
        "the first film after a night",
        _NIGHT | both("cxr_queue_open_films", "0+0x57 1+0x3"),
        minutes=60,
    ),
    calm(
        "NothingDecided",
        "workers were restarted after a night",
        _NIGHT
        | both("cxr_queue_open_films", "0+0x50 9+0x9")
        | counters("cxr_end_to_end_duration_seconds_count", None)
        | {f'cxr_end_to_end_duration_seconds_count{{{W1},lane="routine"}}': "_x50 0 4 8 12 16 20 24 28 32 36"},
        minutes=60,
    ),
    fires("StatFilmsOverdue", "the oldest waits three minutes", both('cxr_queue_oldest_age_seconds{lane="stat"}', 180)),
    calm("StatFilmsOverdue", "the oldest waits for 100 s", both('cxr_queue_oldest_age_seconds{lane="stat"}', 100)),
    fires("RoutineFilmsOverdue", "20 minutes", both('cxr_queue_oldest_age_seconds{lane="routine"}', 1200)),
    calm("RoutineFilmsOverdue", "13 minutes", both('cxr_queue_oldest_age_seconds{lane="routine"}', 780)),
    fires(
        "Slow",
        "half of the films take between one and two minutes",
        {name: PerMinute(0.7) for name in HEALTHY if 'le="30"' in name or 'le="60"' in name},
        {"lane": "routine"},
    ),
    calm(
        "Slow",
        "half of the films take between half a minute and one",
        {name: PerMinute(0.7) for name in HEALTHY if 'le="30"' in name},
    ),
    fires("QueueFilling", "900 of 1000", both('cxr_queue_depth{lane="routine"}', 900)),
    calm("QueueFilling", "700 of 1000", both('cxr_queue_depth{lane="routine"}', 700)),
    fires("QueueBytesFilling", "0.9 of the bytes", both("cxr_queue_open_bytes", 0.9e9)),
    calm("QueueBytesFilling", "0.7 of the bytes", both("cxr_queue_open_bytes", 0.7e9)),
    fires(
        "FilmsFailByOurFault",
        "5 of 360 in a quarter of an hour",
        {_ENDED_BY_US: PerMinute(0.34)} | counters("duration_seconds_count", PerMinute(6)),
    ),
    calm("FilmsFailByOurFault", "2 of 60: one film in the night", {_ENDED_BY_US: PerMinute(0.13)}),
    calm(
        "FilmsFailByOurFault",
        "6 of 800: less than one in a hundred",
        {_ENDED_BY_US: PerMinute(0.4)} | counters("duration_seconds_count", PerMinute(13.4)),
    ),
    fires("DeadFilmsGrow", "one more than a quarter of an hour ago", both("cxr_queue_dead_films", "7+0x25 8+0x5")),
    calm("DeadFilmsGrow", "the list is as long as ever", {}),
    calm("DeadFilmsGrow", "an operator has requeued some", both("cxr_queue_dead_films", "7+0x25 3+0x5")),
    fires("PayloadChanged", "one on a worker that has run for long", _OLD | {_DIGEST: "0+0x20 1+0x10"}),
    fires("PayloadChanged", "one before a new worker's first scrape", {_BORN: 0, _DIGEST: 1}, minutes=45),
    calm("PayloadChanged", "one that an earlier hour has told of", {_BORN: 0, _DIGEST: 1}, minutes=90),
    calm("PayloadChanged", "none, and a new worker", {_BORN: 0}),
    fires(
        "Retries",
        "nine a minute",
        {f'cxr_retries_total{{{W1},code="inference_error"}}': PerMinute(9)},
        {"code": "inference_error"},
    ),
    calm("Retries", "four a minute", {f'cxr_retries_total{{{W1},code="inference_error"}}': PerMinute(4)}),
    fires(
        "PicturesLost", "one in three minutes, for an hour", counters("cxr_pictures_lost", PerMinute(0.34)), minutes=60
    ),
    calm("PicturesLost", "some, half an hour ago", counters("cxr_pictures_lost", "2+0x25 9+0x35"), minutes=60),
)
