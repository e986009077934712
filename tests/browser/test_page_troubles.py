"""The page when the service is gone, locked, or has no picture: it says so, and never shows less than it knew."""

from __future__ import annotations

from pathlib import Path

from services.api.scopes import Role
from tests.browser.conftest import OpenPage
from tests.browser.watched import LINE, WatchedPage
from tests.support.access import bearer, make_key
from tests.support.films import png_film
from tests.support.finding_bundles import write_finding_bundle
from tests.support.gateway import GatewayProcess, WorkerProcess, wait_until
from tests.support.redis_server import RedisServer
from tests.support.stack import StackProcess


def see_worklist(page: WatchedPage) -> None:
    """Go to the worklist, and wait until it has a study."""
    page.go("#/")
    page.wait_for(LINE)


# Pages are named last: they are closed before their service is.


def test_lost_gateway_is_said_and_the_waiting_film_gets_its_outcome_after_it_is_back(
    gateway: GatewayProcess, mortal_redis_server: RedisServer, tmp_path: Path, open_page: OpenPage
) -> None:
    page = open_page(gateway.url, expected=("silence", "503"))
    page.wait_for(".connection.connected")
    page.wait_for("#unserved", "Nothing is scoring films")
    page.choose(png_film(seed=1))
    page.send()
    page.wait_for(".outcome.pending", "Waiting")
    see_worklist(page)
    gateway.kill()
    page.wait_for(".connection.lost")
    page.wait_for("#stale", "The service does not answer. What you see is that of")
    assert page.page.locator(LINE).count() == 1
    page.choose(png_film(seed=2))
    page.send()
    page.wait_for("#send-message", "the same film twice is still one")
    assert page.page.locator("#submit").is_enabled()
    again = GatewayProcess(tmp_path, redis_url=mortal_redis_server.url, port=gateway.port)
    bundle = write_finding_bundle(tmp_path / "bundle")
    with again, WorkerProcess(tmp_path, redis_url=mortal_redis_server.url, bundle=bundle):
        page.wait_for(".connection.connected")
        page.go("#/")
        page.wait_for(f"{LINE} .badge:is(.flagged, .not_flagged)")
        page.page.wait_for_selector("#unserved", state="hidden")


def test_service_that_cannot_know_is_never_shown_as_an_empty_worklist(
    gateway: GatewayProcess, mortal_redis_server: RedisServer, open_page: OpenPage
) -> None:
    page = open_page(gateway.url, expected=("503",))
    page.choose(png_film(seed=3))
    page.send()
    see_worklist(page)
    page.look_until(f"{LINE} .badge.overdue", "Overdue")
    mortal_redis_server.kill()
    page.look_until(".connection.failing")
    page.wait_for("#stale", "What you see is that of")
    assert page.page.locator(LINE).count() == 1
    assert page.text("#worklist-note") == ""
    mortal_redis_server.start()
    page.look_until(".connection.connected")


def sign_in(page: WatchedPage, key: str) -> None:
    page.page.fill("#key-value", key)
    page.page.click("#key button")


def test_page_of_a_service_with_keys_asks_for_one_and_does_not_keep_it(
    locked: tuple[GatewayProcess, str], open_page: OpenPage
) -> None:
    gateway, key = locked
    page = open_page(gateway.url, expected=("401",))
    page.wait_for(".connection.locked")
    page.wait_for("#stale", "A key is needed")
    sign_in(page, key[:-1] + ("a" if key[-1] != "a" else "b"))
    page.wait_for("#key-message", "Send a valid API key")
    assert page.page.input_value("#key-value") == ""
    sign_in(page, key)
    page.wait_for(".connection.connected")
    assert page.page.locator("#key").is_hidden()
    page.wait_for("#session-name", "Reading room")
    page.choose(png_film(seed=4))
    page.send()
    page.wait_for(".outcome.pending")
    stored = "() => JSON.stringify([localStorage, sessionStorage, document.cookie])"
    assert key not in page.page.evaluate(stored) + page.page.content() + page.page.url
    page.page.reload()
    # Who is signed in stays so when the page is loaded again.
    see_worklist(page)


def test_session_that_ends_is_begun_again_without_losing_the_worklist(
    locked: tuple[GatewayProcess, str], redis_server: RedisServer, open_page: OpenPage
) -> None:
    gateway, key = locked
    page = open_page(gateway.url, expected=("401",))
    sign_in(page, key)
    page.wait_for(".connection.connected")
    page.choose(png_film(seed=6))
    page.send()
    see_worklist(page)
    with redis_server.client() as client:
        assert client.delete(*client.keys("{cxr}:session:*")) == 1
    page.look_again()
    page.wait_for(".connection.locked")
    page.wait_for("#stale", "The session has ended: sign in again. What you see is that of")
    assert page.page.locator(LINE).count() == 1
    sign_in(page, key)
    page.wait_for(".connection.connected")
    page.page.wait_for_selector("#key", state="hidden")


def test_who_signs_out_leaves_nothing_on_the_page(
    locked: tuple[GatewayProcess, str], redis_server: RedisServer, open_page: OpenPage
) -> None:
    gateway, key = locked
    page = open_page(gateway.url, expected=("401",))
    sign_in(page, key)
    page.wait_for(".connection.connected")
    page.choose(png_film(seed=7))
    page.send()
    see_worklist(page)
    page.page.click("#sign-out")
    page.wait_for(".connection.locked")
    page.wait_for("#stale", "A key is needed")
    assert page.page.locator(LINE).count() == 0
    with redis_server.client() as client:
        assert client.keys("{cxr}:session:*") == []


def test_who_may_not_read_the_worklist_can_sign_out_again(
    locked: tuple[GatewayProcess, str], tmp_path: Path, open_page: OpenPage
) -> None:
    gateway, key = locked
    narrow = make_key(tmp_path / "keys.json", Role.SUBMIT, label="PACS 2")
    with gateway.client() as client:
        wait_until(lambda: client.get("/v1/session", headers=bearer(narrow)).is_success, what="the new key")
    page = open_page(gateway.url, expected=("401", "403"))
    sign_in(page, narrow)
    page.wait_for(".connection.failing")
    page.wait_for("#stale", "none of the roles")
    page.wait_for("#session-name", "PACS 2")
    page.page.click("#sign-out")
    page.wait_for(".connection.locked")
    page.wait_for("#stale", "A key is needed")
    sign_in(page, key)
    page.wait_for(".connection.connected")


def test_picture_past_retention_is_said_and_a_busy_service_is_asked_again(
    open_page: OpenPage, stack: StackProcess
) -> None:
    page = open_page(stack.wait_ready(), expected=("410", "503"))
    asked: list[str] = []

    def busy_at_first(route: object) -> None:
        asked.append("heat map")
        if len(asked) > 1:
            route.continue_()  # type: ignore[attr-defined]  # playwright's Route, which may not be installed
            return
        problem = '{"code":"pictures_busy","detail":"Too many pictures are being drawn."}'
        headers = {"Retry-After": "1", "Content-Type": "application/problem+json"}
        route.fulfill(status=503, headers=headers, body=problem)  # type: ignore[attr-defined]

    page.page.route("**/heatmap.png?*", busy_at_first)
    page.choose(png_film(seed=5))
    page.send()
    page.page.wait_for_selector(".heat-offered button:enabled")
    assert len(asked) == 2
    for kept in stack.data_dir.rglob("*.preview"):
        kept.unlink()
    sent = page.page.url
    page.go("#/")
    page.go(sent.partition("#")[2])
    page.wait_for(".stage-words", "kept, but not any more")
