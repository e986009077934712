"""The DIMSE listener as a process with a real Redis; pynetdicom sends, the test looks into queue and spool."""

import io
from collections.abc import Iterator

import pytest
from pydicom import dcmread

from model.decoding.transfer_syntaxes import JUDGED_TRANSFER_SYNTAXES
from services.dicom.codes import Status
from services.jobs.queue import JobQueue
from services.jobs.records import JobState, Priority
from tests.support.canary import WORD
from tests.support.dimse import (
    VERIFICATION,
    DimseProcess,
    answer_to,
    associated,
    begin_store,
    cr_contexts,
    data_set_of,
    send,
    send_as_it_is,
)
from tests.support.films import (
    BIG_ENDIAN,
    CT_STORAGE,
    DEFLATED,
    DX_PROCESSING_STORAGE,
    DX_STORAGE,
    EXPLICIT,
    IMPLICIT,
    JPEG_LS,
    RLE,
    VIDEO,
    dicom_film,
)
from tests.support.key_objects import KEY_OBJECT_SELECTION, OF_INTEREST, key_object
from tests.support.redis_server import RedisServer
from tests.support.shared_data import shared_data

MEBIBYTE = 1024**2


@pytest.fixture(scope="module")
def listener(shared_redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DimseProcess]:
    process = DimseProcess(
        tmp_path_factory.mktemp("dimse"), redis_url=shared_redis_server.url, api_max_payload_bytes=4 * MEBIBYTE
    )
    process.wait_ready()
    yield process
    assert process.stop() == 0, process.output[-3000:]
    assert "film failed" not in process.output
    assert WORD not in process.output


@pytest.fixture(autouse=True)
def _empty(listener: DimseProcess, redis_server: RedisServer) -> None:
    listener.empty_spool()


def film_ids(listener: DimseProcess) -> set[str]:
    return {path.name.partition(".")[0] for path in listener.files()}


def test_echo_is_answered(listener: DimseProcess) -> None:
    with associated(listener.port, (VERIFICATION, [IMPLICIT])) as association:
        assert association.send_c_echo().Status == Status.SUCCESS


@pytest.mark.parametrize("transfer_syntax", sorted(JUDGED_TRANSFER_SYNTAXES))
async def test_a_film_of_each_judged_transfer_syntax_is_queued_as_a_whole_file(
    listener: DimseProcess, worker_queue: JobQueue, transfer_syntax: str
) -> None:
    film = dicom_film(transfer_syntax=transfer_syntax)
    (answer,) = send(listener.port, film)
    assert answer.Status == Status.SUCCESS
    payload, _ = listener.files()
    kept = dcmread(payload)
    assert kept.file_meta.TransferSyntaxUID == transfer_syntax
    assert kept == dcmread(io.BytesIO(film))
    record = await worker_queue.record(payload.name.partition(".")[0])
    assert (record.state, record.site, record.priority) == (JobState.QUEUED, "default", Priority.ROUTINE)
    assert (record.study_uid, record.sop_instance_uid) == (kept.StudyInstanceUID, kept.SOPInstanceUID)


@pytest.mark.parametrize("sop_class", [DX_STORAGE, DX_PROCESSING_STORAGE])
def test_digital_x_rays_are_taken(listener: DimseProcess, sop_class: str) -> None:
    assert send(listener.port, dicom_film(SOPClassUID=sop_class))[0].Status == Status.SUCCESS
    assert len(film_ids(listener)) == 1


@pytest.mark.parametrize(
    ("sop_class", "transfer_syntax"),
    [
        *((CT_STORAGE, EXPLICIT), (KEY_OBJECT_SELECTION, DEFLATED)),
        *((DX_STORAGE, syntax) for syntax in (DEFLATED, BIG_ENDIAN, VIDEO)),
    ],
)
def test_what_is_not_taken_is_refused_before_it_is_sent(
    listener: DimseProcess, sop_class: str, transfer_syntax: str
) -> None:
    with associated(listener.port, (sop_class, [transfer_syntax]), cr_contexts()) as association:
        assert [context.abstract_syntax for context in association.rejected_contexts] == [sop_class]
        assert len(association.accepted_contexts) == 1


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        ([JPEG_LS, IMPLICIT], JPEG_LS),
        ([IMPLICIT, JPEG_LS], IMPLICIT),
        ([DEFLATED, RLE, EXPLICIT], RLE),
        ([EXPLICIT], EXPLICIT),
    ],
)
def test_of_the_transfer_syntaxes_offered_together_the_first_that_is_judged_is_taken(
    listener: DimseProcess, offered: list[str], taken: str
) -> None:
    with associated(listener.port, (DX_STORAGE, [IMPLICIT]), cr_contexts(*offered)) as association:
        assert [context.transfer_syntax for context in association.accepted_contexts] == [[IMPLICIT], [taken]]


def test_a_film_sent_again_is_the_film_that_is_known(listener: DimseProcess) -> None:
    film = dicom_film()
    assert [answer.Status for answer in send(listener.port, film, film)] == [Status.SUCCESS] * 2
    assert send(listener.port, film)[0].Status == Status.SUCCESS
    assert len(listener.files()) == 2, "a payload and its sidecar"


def test_an_object_encoded_anew_is_the_film_that_is_known(listener: DimseProcess) -> None:
    assert send(listener.port, dicom_film(transfer_syntax=EXPLICIT))[0].Status == Status.SUCCESS
    assert send(listener.port, dicom_film(transfer_syntax=IMPLICIT))[0].Status == Status.SUCCESS
    assert len(film_ids(listener)) == 1


@pytest.mark.parametrize(("priority", "lane"), [(0, Priority.ROUTINE), (1, Priority.STAT), (2, Priority.ROUTINE)])
async def test_high_priority_is_stat(
    listener: DimseProcess, worker_queue: JobQueue, priority: int, lane: Priority
) -> None:
    assert send(listener.port, dicom_film(seed=priority), priority=priority)[0].Status == Status.SUCCESS
    (film_id,) = film_ids(listener)
    assert (await worker_queue.record(film_id)).priority is lane


def test_a_film_of_another_instance_than_its_request_is_refused(listener: DimseProcess) -> None:
    with associated(listener.port, cr_contexts()) as association:
        context_id = begin_store(association, instance="1.2.3.4")
        answer = answer_to(association, context_id, data_set_of(dicom_film()))
        assert answer is not None
        assert (answer.Status, answer.ErrorComment) == (Status.MISMATCH, "data_set_mismatch")
    assert listener.files() == []


def test_a_request_of_another_sop_class_than_negotiated_is_refused(listener: DimseProcess) -> None:
    film = dicom_film(SOPClassUID=CT_STORAGE, SOPInstanceUID="1.2.3.4")
    with associated(listener.port, cr_contexts()) as association:
        context_id = begin_store(association, instance="1.2.3.4", sop_class=CT_STORAGE)
        answer = answer_to(association, context_id, data_set_of(film))
        assert answer is not None
        assert answer.Status == Status.SOP_CLASS_NOT_SUPPORTED
    assert listener.files() == []


@pytest.mark.parametrize("garbage", [b"\xff" * 1000, b"no data set at all" * 100_000])
def test_garbage_is_refused_and_the_next_film_is_taken(listener: DimseProcess, garbage: bytes) -> None:
    with associated(listener.port, cr_contexts()) as association:
        context_id = begin_store(association, instance="1.2.3.4")
        answer = answer_to(association, context_id, garbage)
        assert answer is not None
        assert answer.Status in (Status.CANNOT_UNDERSTAND, Status.MISMATCH)
        assert listener.files() == []
        assert association.send_c_store(dcmread(io.BytesIO(dicom_film()))).Status == Status.SUCCESS
    assert len(film_ids(listener)) == 1


def test_a_film_that_is_too_large_is_refused_and_the_next_is_taken(listener: DimseProcess) -> None:
    large, small = dicom_film(rows=2048, columns=2048), dicom_film()
    assert len(large) > 4 * MEBIBYTE
    refused, taken = send(listener.port, large, small)
    assert (refused.Status, refused.ErrorComment) == (Status.CANNOT_UNDERSTAND, "film_too_large")
    assert taken.Status == Status.SUCCESS
    assert len(listener.files()) == 2


async def test_a_rejection_note_withdraws_the_film(listener: DimseProcess, worker_queue: JobQueue) -> None:
    film = dcmread(io.BytesIO(dicom_film(PatientName=WORD, PatientID=WORD)))
    assert send(listener.port, dicom_film(PatientName=WORD, PatientID=WORD))[0].Status == Status.SUCCESS
    (film_id,) = film_ids(listener)
    named = {film.StudyInstanceUID: [film.SOPInstanceUID]}
    assert send(listener.port, key_object(named, title=OF_INTEREST))[0].Status == Status.SUCCESS
    assert (await worker_queue.record(film_id)).state is JobState.QUEUED
    assert send(listener.port, key_object(named))[0].Status == Status.SUCCESS
    record = await worker_queue.record(film_id)
    assert (record.state, record.reason) == (JobState.DONE, "withdrawn")


def test_a_note_that_cannot_be_read_is_refused(listener: DimseProcess) -> None:
    note = key_object({"1.2.3": ["1.2.3.4"]}, ConceptNameCodeSequence=None)
    assert send(listener.port, note)[0].Status == Status.CANNOT_UNDERSTAND


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")  # of instances in the wild
def test_every_real_file_gets_a_defined_answer(listener: DimseProcess) -> None:
    answers = {
        path.name: send_as_it_is(listener.port, path.read_bytes())
        for path in sorted(shared_data("dicom").rglob("*.dcm"))
    }
    assert len(answers) > 100
    assert set(answers.values()) <= set(Status), answers
    assert Status.SUCCESS in answers.values()
    assert listener.get("/health/ready")[0] == 200
