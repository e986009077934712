"""The page in the hands of somebody in a hurry, and before answers that nobody expects: one film is never mixed up with
another, none is lost between two clicks, and nothing is asked for without end.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.browser.conftest import OpenPage
from tests.browser.watched import WatchedPage
from tests.support.films import png_film
from tests.support.stack import StackProcess

SHOWN = ".outcome:not(.pending)"
HOSTILE = "<img src=x onerror=alert(1)>"
# Of a film that nobody has looked at yet.
WAITING = dict.fromkeys(("outcome", "reason", "probability", "threshold", "policy", "model", "findings", "done_at"))
WAITING |= {"state": "queued", "links": {"self": "/v1/instances/0", "study": "", "preview": None, "heatmap": None}}
ONE_STUDY = "**/v1/studies/*?*"


def waits(body: dict[str, Any]) -> None:
    """Have a study be one whose films nobody has looked at yet."""
    body["outcome"] = "pending"
    for record in body["instances"]:
        record.update(WAITING)


def test_waiting_film_is_asked_after_by_one_call_however_often_it_is_chosen(page: WatchedPage) -> None:
    open_calls: list[object] = []
    most: list[int] = []

    def hold(route: Any) -> None:
        """Never answered: the service waits for the outcome."""
        open_calls.append(route.request)
        most.append(len(open_calls))

    page.page.route("**/v1/instances/*?wait=*", hold)
    page.page.on("requestfailed", lambda request: open_calls.remove(request) if request in open_calls else None)
    page.answer_otherwise(ONE_STUDY, waits)
    for seed in range(8):  # a browser has six connections for a service
        page.choose(png_film(seed=seed, rows=96, columns=96))
        with page.page.expect_request("**/v1/instances/*?wait=*"):
            page.send()
    page.wait_for(".connection.connected")
    assert len(most) >= 8, "each of them was asked after"
    assert max(most) <= 2, "the one that is left, and its successor"


def test_film_that_is_not_known_any_more_is_said_and_not_asked_after_again(
    open_page: OpenPage, stack: StackProcess
) -> None:
    page = open_page(stack.wait_ready(), expected=("404", "503"))
    asked: list[object] = []
    is_forgotten = threading.Event()

    def unknown_at_last(route: Any) -> None:
        asked.append(route)
        if len(asked) == 1:
            response = route.fetch()
            body = response.json()
            waits(body)
            route.fulfill(response=response, body=json.dumps(body))
            return
        unread, unknown = (503, "1", "What is stored of this film cannot be read."), (404, "0", "Unknown.")
        refuse(route, *(unknown if is_forgotten.is_set() else unread))

    page.page.route(ONE_STUDY, unknown_at_last)
    page.page.route("**/v1/instances/*", lambda route: refuse(route, 404, "0", "Unknown."))
    page.choose(png_film(seed=10))
    page.send()
    page.wait_for(".slot-notice .notice", "cannot be read")
    is_forgotten.set()
    page.wait_for(".slot-notice .notice", "Unknown.")
    settled = len(asked)
    for _ in range(3):
        page.look_again()
    assert len(asked) <= settled + 3, "a change of the worklist may make it look again; nothing else does"
    assert page.page.locator(".outcome.pending").count() == 1


def refuse(route: Any, status: int, wait: str, detail: str) -> None:
    headers = {"Retry-After": wait, "Content-Type": "application/problem+json"}
    route.fulfill(status=status, headers=headers, body=json.dumps({"code": "any", "detail": detail}))


def test_film_that_is_dropped_while_another_one_is_on_its_way_does_not_vanish_with_it(page: WatchedPage) -> None:
    held: list[Any] = []
    page.page.route("**/v1/instances?*", lambda route: held.append(route))
    page.choose(png_film(seed=11))
    with page.page.expect_request("**/v1/instances?*"):
        page.send()
    assert page.page.locator("#submit, #file").evaluate_all("all => all.every(control => control.disabled)")
    chosen = page.text("#chosen")
    page.page.evaluate(
        """() => {
          const transfer = new DataTransfer();
          transfer.items.add(new File(["another film"], "film"));
          document.getElementById("drop").dispatchEvent(new DragEvent("drop", { dataTransfer: transfer }));
          document.getElementById("send").requestSubmit();
        }"""
    )
    assert (page.text("#chosen"), page.text("#send-message")) == (chosen, "Sending …")
    held[0].continue_()
    page.wait_for(SHOWN)
    assert len(held) == 1
    page.go("#/send")
    page.wait_for("#send")
    assert page.page.locator("#file").is_enabled()
    assert page.page.locator("#submit").is_disabled()


def test_file_that_is_gone_when_it_is_sent_is_not_blamed_on_the_service(page: WatchedPage, tmp_path: Path) -> None:
    film = tmp_path / "film.png"
    film.write_bytes(png_film(seed=12))
    page.go("#/send")
    page.page.set_input_files("#file", film)
    page.page.wait_for_selector("#submit:enabled")
    film.unlink()
    page.send()
    page.wait_for("#send-message", "choose it again")
    assert page.page.locator(".outcome").count() == 0


def send_ahead(api: httpx.Client, study: str, *, seed: int) -> None:
    """Send a film to the top of the worklist: of many studies only those in view are in the document."""
    where = {"wait": 30, "study_uid": study, "priority": "stat"}
    sent = api.post("/v1/instances", params=where, content=png_film(seed=seed), headers={"Content-Type": "image/png"})
    assert sent.is_success, sent.text


def test_study_that_waits_is_opened_at_the_film_that_waits(page: WatchedPage, api: httpx.Client) -> None:
    study = "1.2.826.0.1.77"
    for seed in (13, 14):
        send_ahead(api, study, seed=seed)

    def second_waits(body: dict[str, Any]) -> None:
        body["outcome"] = "pending"
        body["instances"][1].update(WAITING)

    page.look_again()
    page.answer_otherwise(f"**/v1/studies/{study}?*", second_waits)
    page.page.route("**/v1/instances/*?wait=*", lambda _route: None)
    page.page.locator(f"#worklist a[title='{study}']").click()
    page.wait_for(".outcome.pending")
    assert page.page.locator(".choice button").nth(1).get_attribute("aria-pressed") == "true"


def test_study_that_answers_late_does_not_take_the_place_of_the_one_that_was_chosen_after_it(
    page: WatchedPage, api: httpx.Client
) -> None:
    slow, chosen = "1.2.826.0.1.78", "1.2.826.0.1.79"
    for seed, study in ((16, slow), (17, chosen)):
        send_ahead(api, study, seed=seed)
    wanted = api.get(f"/v1/studies/{chosen}").json()["instances"][0]["id"]
    held: list[Any] = []
    page.look_again()
    page.page.route(f"**/v1/studies/{slow}?*", lambda route: held.append(route))
    with page.page.expect_request(f"**/v1/studies/{slow}?*"):
        page.page.locator(f"#worklist a[title='{slow}']").click()
    page.go("#/")
    page.page.locator(f"#worklist a[title='{chosen}']").click()
    page.wait_for(SHOWN)
    assert page.film_id() == wanted
    held[0].continue_()
    page.look_again()
    assert page.film_id() == wanted


@pytest.mark.parametrize("scored", [True, False], ids=["scored", "not assessed"])
def test_whatever_the_service_says_stays_text(page: WatchedPage, scored: bool) -> None:
    def hostile(record: dict[str, Any]) -> None:
        if record["state"] != "done":
            return
        record["site"] = HOSTILE
        if scored:
            record["findings"][0]["label"] = record["policy"]["name"] = record["model"]["name"] = HOSTILE
        else:
            record.update(WAITING, state="done", outcome="not_assessed", reason=HOSTILE)

    page.answer_otherwise(ONE_STUDY, lambda body: hostile(body["instances"][0]))
    page.choose(png_film(seed=15))
    page.send()
    page.wait_for(SHOWN)
    assert page.text(".view").count(HOSTILE) >= (4 if scored else 2)
    assert page.page.locator("img[src=x], [onerror]").count() == 0


def test_figures_are_those_of_the_record_and_show_on_which_side_of_the_threshold_a_film_lies(page: WatchedPage) -> None:
    figures = {
        (0.62345, 0.5): ["62.3 %", "50.0 %"],
        (0.0004, 0.5): ["< 0.1 %", "50.0 %"],
        (0.9997, 0.5): ["> 99.9 %", "50.0 %"],
        (0.49996, 0.50004): ["49.9960 %", "50.0040 %"],
        (0.0, 1.0): ["0.0 %", "100.0 %"],
    }
    said = page.page.evaluate(
        """async (pairs) => {
          const { digitsToTell, percent } = await import("/web/words.js");
          return pairs.map((pair) => pair.map((figure) => percent(figure, digitsToTell(...pair))));
        }""",
        [list(pair) for pair in figures],
    )
    assert said == list(figures.values())


def test_what_is_typed_of_a_patient_is_not_remembered_by_the_browser(page: WatchedPage) -> None:
    page.go("#/send")
    page.wait_for("#send")
    kept = "() => [...document.forms].flatMap(form => [...form.elements]).filter(control => control.name)"
    names = page.page.evaluate(f"() => ({kept})().map(control => `${{control.form.autocomplete}} ${{control.name}}`)")
    assert sorted(names) == ["off age", "off sex", "off view"]
