"""A study on the page when the service is slow, gone or locked: it says so, and keeps what it knew."""

from __future__ import annotations

from pathlib import Path

import httpx

from services.api.scopes import Role
from tests.browser.conftest import OpenPage
from tests.browser.watched import WatchedPage
from tests.support.access import bearer, make_key
from tests.support.films import png_film
from tests.support.finding_bundles import write_finding_bundle
from tests.support.gateway import GatewayProcess, WorkerProcess, wait_until
from tests.support.redis_server import RedisServer

PNG = {"Content-Type": "image/png"}


def look_at(page: WatchedPage, client: httpx.Client, film: bytes, **headers: str) -> None:
    sent = client.post("/v1/instances", content=film, headers=PNG | headers)
    assert sent.status_code == 202, sent.text
    page.go(f"#/study/default/{sent.json()['study_uid']}")


def test_waiting_film_is_overdue_in_time_and_gets_its_outcome_after_the_service_was_gone(
    gateway: GatewayProcess, mortal_redis_server: RedisServer, tmp_path: Path, open_page: OpenPage
) -> None:
    page = open_page(gateway.url, expected=("silence", "503"))
    with gateway.client() as client:
        look_at(page, client, png_film(seed=1))
    page.wait_for(".outcome.pending", "Waiting")
    page.wait_for(".stage-words", "Pictures come with the outcome")
    gateway.kill()
    page.wait_for(".slot-notice .notice", "The service does not answer. What is shown is that of")
    assert page.page.locator(".outcome.pending").count() == 1
    again = GatewayProcess(
        tmp_path, redis_url=mortal_redis_server.url, port=gateway.port, api_overdue_routine_seconds=1
    )
    bundle = write_finding_bundle(tmp_path / "bundle")
    with again:
        page.wait_for(".slot-overdue .notice", "Overdue: needs review")
        page.page.wait_for_selector(".slot-notice", state="hidden")
        with WorkerProcess(tmp_path, redis_url=mortal_redis_server.url, bundle=bundle), again.client() as client:
            wait_until(lambda: not client.get("/v1/studies?outcome=pending").json()["studies"], what="the outcome")
            page.wait_for(".outcome:not(.pending)")
            page.page.wait_for_selector(".controls button:enabled")
            page.page.wait_for_selector(".slot-overdue", state="hidden")


def test_study_stays_while_the_session_is_over_and_goes_on_after_a_new_one(
    locked: tuple[GatewayProcess, str], redis_server: RedisServer, open_page: OpenPage
) -> None:
    gateway, key = locked
    page = open_page(gateway.url, expected=("401", "404"))  # a study of a withdrawn film alone is none
    page.page.fill("#key-value", key)
    page.page.click("#key button")
    page.wait_for(".connection.connected")
    with gateway.client() as client:
        look_at(page, client, png_film(seed=2), **bearer(key))
        page.wait_for(".outcome.pending")
        with redis_server.client() as store:
            assert store.delete(*store.keys("{cxr}:session:*")) == 1
        page.page.get_by_role("button", name="Withdraw …").click()
        page.page.get_by_role("button", name="Withdraw the film").click()
        page.wait_for(".slot-acts .message", "Sign in again above; what is shown stays.")
        assert page.page.locator(".outcome.pending").count() == 1
    page.page.wait_for_selector("#key:visible")
    page.page.fill("#key-value", key)
    page.page.click("#key button")
    page.page.wait_for_selector("#key", state="hidden")
    page.page.get_by_role("button", name="Withdraw …").click()
    page.page.get_by_role("button", name="Withdraw the film").click()
    page.wait_for(".outcome", "Withdrawn")


def test_reader_without_the_role_is_not_offered_what_it_is_for(
    locked: tuple[GatewayProcess, str], tmp_path: Path, open_page: OpenPage
) -> None:
    gateway, key = locked
    reader = make_key(tmp_path / "keys.json", Role.READ, label="Reader")
    with gateway.client() as client:
        wait_until(lambda: client.get("/v1/session", headers=bearer(reader)).is_success, what="the new key")
        page = open_page(gateway.url, expected=("401",))
        page.page.fill("#key-value", reader)
        page.page.click("#key button")
        page.wait_for("#session-name", "Reader")
        look_at(page, client, png_film(seed=3), **bearer(key))
    page.wait_for(".outcome.pending")
    page.wait_for(".facts", "routine")
    assert page.page.get_by_role("button", name="Withdraw …").count() == 0
