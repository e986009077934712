"""The client against a scripted stranger that speaks the contract; the real service has its own tests."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from services.submit.client import CredentialRefused, Delivery, SubmitOptions, Submitted, files_in, submit_files

FILM_ID = "0" * 32
RECORD = {
    "schema_version": 1,
    "id": FILM_ID,
    "study_uid": "1.2.3",
    "sop_instance_uid": None,
    "site": "default",
    "priority": "routine",
    "state": "done",
    "outcome": "not_assessed",
    "reason": "view",
    "probability": None,
    "threshold": None,
    "policy": None,
    "model": None,
    "findings": None,
    "sha256": "0" * 64,
    "submitted_at": "2026-01-01T00:00:00Z",
    "done_at": "2026-01-01T00:00:01Z",
    "timings_ms": {"queue": None, "decode": None, "inference": None, "total": None},
    "attempts": 1,
    "overdue": False,
    "links": {"self": f"/v1/instances/{FILM_ID}", "study": "/v1/studies/1.2.3", "preview": None, "heatmap": None},
}
QUEUED = RECORD | {"state": "queued", "outcome": None, "reason": None, "done_at": None}


def problem(status: int, code: str, **headers: str) -> tuple[int, dict[str, str], object]:
    return status, headers, {"type": "about:blank", "status": status, "title": "x", "detail": "y", "code": code}


class Stranger:
    """Answers requests with what it was told to, in order, and repeats the last."""

    def __init__(self, *answers: tuple[int, dict[str, str], object]) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        remaining, requests, lock = list(answers), self.requests, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                with lock:
                    requests.append((self.command, self.path, dict(self.headers), body))
                    status, headers, document = remaining.pop(0) if len(remaining) > 1 else remaining[0]
                content = json.dumps(document).encode()
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(content))} | headers).items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = _answer  # noqa: N815 - http.server's names

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def strangers() -> Iterator[list[Stranger]]:
    started: list[Stranger] = []
    yield started
    for stranger in started:
        stranger.close()


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.png"
    path.write_bytes(b"bytes of a film")
    return path


async def send(stranger: Stranger, film: Path, **options: object) -> Submitted:
    settings = SubmitOptions(**({"url": stranger.url, "patience_seconds": 20.0} | options))  # type: ignore[arg-type]
    (end,) = [end async for end in submit_files([film], settings)]
    return end


async def test_film_is_sent_once_with_its_digest_and_key(strangers: list[Stranger], film: Path) -> None:
    strangers.append(stranger := Stranger((200, {}, RECORD)))
    end = await send(stranger, film, key="cxr_a_b", site="north")
    assert (end.delivery, end.record and end.record.id) == (Delivery.DONE, FILM_ID)
    ((method, path, headers, body),) = stranger.requests
    assert (method, body) == ("POST", b"bytes of a film")
    assert "site=north" in path
    assert headers["Authorization"] == "Bearer cxr_a_b"
    assert headers["Content-Digest"].startswith("sha-256=:")


async def test_record_of_a_service_that_knows_no_pictures_is_read(strangers: list[Stranger], film: Path) -> None:
    links = {"self": f"/v1/instances/{FILM_ID}", "study": "/v1/studies/1.2.3"}
    strangers.append(stranger := Stranger((200, {}, RECORD | {"links": links})))
    end = await send(stranger, film)
    assert end.delivery is Delivery.DONE
    assert end.record is not None
    assert (end.record.links.preview, end.record.links.heatmap) == (None, None)


async def test_accepted_film_is_asked_after_until_it_is_done(strangers: list[Stranger], film: Path) -> None:
    strangers.append(stranger := Stranger((202, {}, QUEUED), (200, {}, QUEUED), (200, {}, RECORD)))
    assert (await send(stranger, film)).delivery is Delivery.DONE
    assert [method for method, *_ in stranger.requests] == ["POST", "GET", "GET"]


@pytest.mark.parametrize("status", [429, 503, 507])
async def test_service_without_room_is_asked_again_after_the_time_it_names(
    strangers: list[Stranger], film: Path, status: int
) -> None:
    strangers.append(stranger := Stranger(problem(status, "queue_full", Retry_After="1"), (200, {}, RECORD)))
    assert (await send(stranger, film)).delivery is Delivery.DONE
    assert len(stranger.requests) == 2


async def test_wait_longer_than_our_patience_is_not_begun(strangers: list[Stranger], film: Path) -> None:
    strangers.append(stranger := Stranger(problem(503, "queue_full", Retry_After="120")))
    end = await send(stranger, film)
    assert (end.delivery, end.code) == (Delivery.FAILED, "queue_full")
    assert len(stranger.requests) == 1


async def test_refused_film_is_not_sent_again(strangers: list[Stranger], film: Path) -> None:
    strangers.append(stranger := Stranger(problem(415, "unsupported_format")))
    end = await send(stranger, film)
    assert (end.delivery, end.code) == (Delivery.REFUSED, "unsupported_format")
    assert len(stranger.requests) == 1


async def test_refused_key_ends_everything(strangers: list[Stranger], film: Path) -> None:
    strangers.append(stranger := Stranger(problem(401, "unauthenticated")))
    with pytest.raises(CredentialRefused):
        await send(stranger, film)


async def test_film_without_an_outcome_in_time_keeps_its_id(strangers: list[Stranger], film: Path) -> None:
    strangers.append(stranger := Stranger((202, {}, QUEUED)))
    end = await send(stranger, film, patience_seconds=0.0)
    assert (end.delivery, end.code, end.record and end.record.id) == (Delivery.FAILED, "no_outcome", FILM_ID)


async def test_answer_of_another_service_is_not_taken_for_an_outcome(strangers: list[Stranger], film: Path) -> None:
    strangers.append(stranger := Stranger((200, {}, {"status": "ok"})))
    end = await send(stranger, film)
    assert (end.delivery, end.code) == (Delivery.FAILED, "no_record")


async def test_file_that_cannot_be_read_is_reported_and_not_sent(strangers: list[Stranger], tmp_path: Path) -> None:
    strangers.append(stranger := Stranger((200, {}, RECORD)))
    end = await send(stranger, tmp_path / "gone")
    assert (end.delivery, end.code, stranger.requests) == (Delivery.FAILED, "unreadable", [])


def test_folders_are_searched_and_hidden_files_left_out(tmp_path: Path) -> None:
    for name in ("b/2.dcm", "a/1.png", ".git/x", "a/.DS_Store", "top"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [str(path.relative_to(tmp_path)) for path in files_in([tmp_path])]
    assert found == ["a/1.png", "b/2.dcm", "top"]
    assert list(files_in([tmp_path / "a" / ".DS_Store"])) == [tmp_path / "a" / ".DS_Store"], "named, so meant"
