"""What a DICOM target is sent of a film, made of what lies in a real spool."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest

pytest.importorskip("highdicom", reason="the extra [dicom] is not installed")

from pydicom import dcmread

from model.decision import Decision
from model.decoding.header import ImageFormat
from model.errors import Reason
from services.delivery.channels import concerns
from services.delivery.objects import ObjectBuilder
from services.delivery.targets import ObjectKind, StowTarget
from services.delivery.verdicts import NothingToSend, Unbuildable, Unbuilt
from services.jobs.delivery_outbox import Owed
from services.jobs.limits import QueueLimits
from services.jobs.pictures import film_and_model, pack_picture
from services.jobs.records import Job, PastDecision, Picture
from services.jobs.spool import Spool
from services.jobs.stored import dump_job, record_of, result_of
from tests.support.films import dicom_film, png_film, uid_of
from tests.support.jobs import SCORED_BY, TIMINGS, scored, unread
from tests.support.results import past_decision
from tests.support.submission import keep_film

REPORT, OVERLAY, KEY_OBJECT = (f"1.2.840.10008.5.1.4.1.1.{tail}" for tail in ("88.34", "7", "88.59"))


def kept(spool: Spool, film: bytes | None = None, *, image_format: ImageFormat = ImageFormat.DICOM) -> Job:
    """Keep a film with its pictures, as gateway and worker do."""
    job = keep_film(spool, film or dicom_film(rows=64, columns=64), image_format=image_format)
    preview = np.full((64, 64), 100, np.uint8)
    activation = np.array([[0, 6], [-2, 1]], np.float32)
    model = SCORED_BY.digest
    spool.keep_picture(job, Picture.PREVIEW, pack_picture(preview, of=job.sha256))
    heat = pack_picture(activation, of=film_and_model(film=job.sha256, model=model))
    spool.keep_picture(job, Picture.HEATMAP, heat, by=model)
    return job


def owed(job: Job, decision: Decision | None = None, *, past: tuple[PastDecision, ...] = ()) -> Owed:
    decision = decision or scored(flagged=True)
    is_scored = decision.outcome.is_scored
    result = result_of(
        decision,
        scored_by=SCORED_BY if is_scored else None,
        timings=TIMINGS,
        pictures=tuple(Picture) if is_scored else (),
    )
    fields = [dump_job(job), "done", "1", str(job.submitted_ms), str(job.submitted_ms + 9), result.model_dump_json()]
    return Owed(
        target="pacs",
        member=f"{job.id}:{len(past) + 1}",
        film_id=job.id,
        commit=len(past) + 1,
        attempts=0,
        owed_since_ms=0,
        now_ms=0,
        leased_ms=0,
        job=job,
        record=record_of(fields, now_ms=job.submitted_ms + 10, limits=QueueLimits()),
        past=past,
        is_payload_kept=True,
    )


def classes(built: Any) -> list[str]:
    assert isinstance(built, list)
    return [str(dcmread(BytesIO(content)).SOPClassUID) for content in built]


def uids(built: Any) -> list[str]:
    assert isinstance(built, list)
    return [str(dcmread(BytesIO(content)).SOPInstanceUID) for content in built]


@pytest.fixture
def builder(spool: Spool) -> ObjectBuilder:
    return ObjectBuilder(spool, kinds=frozenset(ObjectKind))


def test_a_judged_film_is_a_report_and_an_overlay_and_a_repeat_has_the_same_uids(
    spool: Spool, builder: ObjectBuilder
) -> None:
    film = owed(kept(spool))
    first, second = builder.build(film), builder.build(film)
    assert classes(first) == [REPORT, OVERLAY]
    assert uids(first) == uids(second)


def test_a_target_gets_the_kinds_that_it_asked_for(spool: Spool) -> None:
    film = owed(kept(spool))
    assert classes(ObjectBuilder(spool, kinds={ObjectKind.REPORT}).build(film)) == [REPORT]
    assert classes(ObjectBuilder(spool, kinds={ObjectKind.OVERLAY}).build(film)) == [OVERLAY]


def test_another_decision_of_a_film_is_another_object(spool: Spool, builder: ObjectBuilder) -> None:
    job = kept(spool)
    before, after = builder.build(owed(job)), builder.build(owed(job, past=(past_decision(),)))
    assert not set(uids(before)) & set(uids(after))


def test_a_film_that_nobody_could_judge_is_a_report_alone(spool: Spool, builder: ObjectBuilder) -> None:
    assert classes(builder.build(owed(kept(spool), unread()))) == [REPORT]


def test_a_lost_picture_keeps_no_report_back(spool: Spool, builder: ObjectBuilder) -> None:
    job = keep_film(spool, dicom_film(rows=64, columns=64), image_format=ImageFormat.DICOM)
    assert classes(builder.build(owed(job))) == [REPORT]


def test_a_withdrawn_film_is_a_rejection_of_what_was_sent_and_nothing_where_nothing_was(
    spool: Spool, builder: ObjectBuilder
) -> None:
    job = kept(spool)
    told = builder.build(owed(job))
    (rejection,) = built = builder.build(owed(job, unread(Reason.WITHDRAWN), past=(past_decision(model=SCORED_BY),)))
    assert classes(built) == [KEY_OBJECT]
    assert all(uid.encode() in rejection for uid in uids(told))
    assert builder.build(owed(job, unread(Reason.WITHDRAWN))) == NothingToSend()


def test_a_raster_film_is_nothing(spool: Spool, builder: ObjectBuilder) -> None:
    assert builder.build(owed(kept(spool, png_film(), image_format=ImageFormat.PNG))) == NothingToSend()


def test_a_judged_film_without_a_study_is_refused_where_somebody_sees_it(spool: Spool, builder: ObjectBuilder) -> None:
    job = kept(spool, dicom_film(rows=64, columns=64, StudyInstanceUID=None))
    assert builder.build(owed(job)) == Unbuildable(reason="film_not_reportable")
    assert builder.build(owed(job, unread())) == NothingToSend()


def test_a_payload_that_is_away_is_tried_again_and_one_that_changed_is_shown_to_nobody(
    spool: Spool, builder: ObjectBuilder
) -> None:
    job = kept(spool)
    assert builder.build(owed(replace(job, sha256="0" * 64))) == Unbuilt(reason="film_gone")
    spool.remove(job.payload)
    assert builder.build(owed(job)) == Unbuilt(reason="spool_unavailable")


def test_what_was_said_of_a_withdrawn_film_is_taken_back_also_when_the_film_is_gone(
    spool: Spool, builder: ObjectBuilder
) -> None:
    job = replace(kept(spool), study_uid=uid_of("study"))
    spool.remove(job.payload)
    withdrawn = owed(job, unread(Reason.WITHDRAWN), past=(past_decision(),))
    assert builder.build(withdrawn) == Unbuilt(reason="spool_unavailable")
    assert classes(builder.build(replace(withdrawn, attempts=3))) == [KEY_OBJECT]


def test_a_film_past_retention_is_given_up_at_once_and_taken_back_at_once(spool: Spool, builder: ObjectBuilder) -> None:
    job = replace(kept(spool), study_uid=uid_of("study"))
    spool.remove(job.payload)
    assert builder.build(replace(owed(job), is_payload_kept=False)) == Unbuildable(reason="film_gone")
    withdrawn = owed(job, unread(Reason.WITHDRAWN), past=(past_decision(),))
    assert classes(builder.build(replace(withdrawn, is_payload_kept=False))) == [KEY_OBJECT]


def test_a_report_names_the_one_that_was_sent_before_it(spool: Spool, builder: ObjectBuilder) -> None:
    job = kept(spool)
    report, overlay = uids(builder.build(owed(job)))
    built = builder.build(owed(job, past=(past_decision(model=SCORED_BY),)))
    assert isinstance(built, list)
    predecessors = str(dcmread(BytesIO(built[0])).PredecessorDocumentsSequence)
    assert report in predecessors
    assert overlay not in predecessors


def target(**settings: Any) -> StowTarget:
    return StowTarget.model_validate({"name": "pacs", "kind": "stow", "address": "https://pacs"} | settings)


def test_a_target_is_told_of_the_sites_and_outcomes_that_it_asked_for(spool: Spool) -> None:
    job = kept(spool)
    assert concerns(target(), owed(job))
    assert not concerns(target(sites=["icu"]), owed(job))
    assert concerns(target(outcomes=["flagged"]), owed(job))
    assert not concerns(target(outcomes=["flagged"]), owed(job, scored(flagged=False)))


def test_who_was_told_a_flag_hears_that_it_is_no_more(spool: Spool) -> None:
    film = owed(kept(spool), scored(flagged=False), past=(past_decision(),))
    assert concerns(target(outcomes=["flagged"]), film)
