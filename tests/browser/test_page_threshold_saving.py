"""A threshold is saved: by whom, over whose, and what the page says where it cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.api.scopes import Role
from tests.browser.conftest import OpenPage
from tests.browser.thresholds import (
    SITE,
    choose,
    gauge,
    open_explorer,
    put,
    running_stack,
    save,
    sign_in,
    submit,
    write_bundle,
)
from tests.browser.watched import WatchedPage
from tests.support.access import bearer, make_key
from tests.support.stack import StackProcess


@pytest.fixture(scope="module")
def stack(redis_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    with running_stack(tmp_path_factory.mktemp("threshold")) as running:
        yield running


def test_saved_threshold_decides_the_next_films_and_not_those_before(
    open_page: OpenPage, stack: StackProcess, api: httpx.Client
) -> None:
    before = submit(api, 0.25, 3)
    page = open_explorer(open_page, stack)
    choose(page, 0.2)
    version = save(page)
    document = api.get(SITE).json()
    assert (document["version"], document["policy"]["threshold"]) == (version, 0.2)
    assert document["policy"]["prevalence"] == 0.1
    assert f"Version {version} is saved" in page.text("#said")
    assert page.page.locator(".history tbody tr").first.inner_text().startswith(str(version))
    assert f"This is what version {version} says already" in page.text("#policy-why")
    later = (submit(api, 0.25, seed) for seed in range(1000, 1100))
    record = next(record for record in later if record["policy"]["version"] == version)
    assert (record["outcome"], record["threshold"]) == ("flagged", 0.2)
    kept = api.get(f"/v1/instances/{before['id']}").json()
    assert (kept["outcome"], kept["policy"]) == (before["outcome"], before["policy"])


def test_below_the_floor_a_reason_is_asked_for_and_kept(
    open_page: OpenPage, stack: StackProcess, api: httpx.Client
) -> None:
    page = open_explorer(open_page, stack)
    choose(page, 0.56)
    button = page.page.locator(".saving button[type=submit]")
    assert button.is_disabled()
    page.page.fill("#policy-reason", "too short")
    assert button.is_disabled()
    reason = "Second reader sees every film in any case"
    page.page.fill("#policy-reason", reason)
    save(page)
    newest = api.get(SITE).json()["history"][0]
    assert (newest["threshold"], newest["override_reason"], newest["sensitivity_floor"]) == (0.56, reason, 0.95)
    assert f"Saved below the floor of 95.0 %: {reason}" in page.text(".history")


def test_two_people_at_once_lose_nothing_and_see_each_other(
    open_page: OpenPage, stack: StackProcess, api: httpx.Client
) -> None:
    put(api, 0.21, "base")
    page = open_explorer(open_page, stack, expected=("412",))
    choose(page, 0.19)
    theirs = put(api, 0.23, "theirs").json()["version"]
    page.page.click(".saving button[type=submit]")
    conflict = page.wait_for(".conflict", f"saved version {theirs}")
    told = " ".join(conflict.inner_text().split())
    for part in ("0.2100", "0.2300", "theirs", "0.1900", "Nothing was overwritten"):
        assert part in told
    assert api.get(SITE).json()["policy"]["name"] == "theirs"
    assert page.page.input_value("#threshold") == "0.19", "the choice stays"
    assert page.page.locator(".saving button[type=submit]").is_disabled(), "until theirs was looked at"
    page.page.click(f"button:has-text('Go on from version {theirs}')")
    assert save(page) == theirs + 1
    versions = [policy["version"] for policy in api.get(SITE).json()["history"]]
    assert versions == list(range(theirs + 1, 0, -1))


def test_version_that_somebody_else_saves_is_said_before_anything_is_saved_here(
    open_page: OpenPage, stack: StackProcess, api: httpx.Client
) -> None:
    page = open_explorer(open_page, stack)
    version = put(api, 0.22, "silent").json()["version"]
    assert f"version {version}" in page.wait_for(".conflict", "silent").inner_text()


def lose_once(page: WatchedPage) -> list[int]:
    """Have the answer to the next save get lost; return what it was."""
    lost: list[int] = []

    def lose(route: Any) -> None:
        if route.request.method != "PUT" or lost:
            route.fallback()
            return
        lost.append(route.fetch().status)
        route.abort("connectionreset")

    page.page.route("**/v1/policies/default", lose)
    return lost


def test_reply_that_was_lost_is_asked_for_again_and_makes_no_second_version(
    open_page: OpenPage, stack: StackProcess, api: httpx.Client
) -> None:
    page = open_explorer(open_page, stack, expected=("silence",))
    lost = lose_once(page)
    choose(page, 0.18)
    before = api.get(SITE).json()["version"]
    page.page.click(".saving button[type=submit]")
    page.wait_for(".saving .message", "Save again: the same twice is one version")
    assert lost == [200]
    page.page.click(".saving button[type=submit]")
    page.wait_for("#in-force", f"version {before + 1},")
    assert api.get(SITE).json()["version"] == before + 1


def test_service_that_is_away_leaves_the_figures_and_says_so(open_page: OpenPage, stack: StackProcess) -> None:
    page = open_explorer(open_page, stack, expected=("silence",))
    page.page.route("**/v1/policies/default/preview", lambda route: route.abort("connectionrefused"))
    choose(page, 0.35)
    page.wait_for(".thresholds", "The preview is not to be had: The service does not answer.")
    assert "test films with a finding are flagged" in gauge(page, "Sensitivity")
    assert page.page.locator(".preview *").count() == 0, "no films of another threshold stand there"


def test_reader_without_the_role_sees_everything_and_is_told_why_saving_is_not_theirs(
    open_page: OpenPage, redis_binary: Path, tmp_path: Path
) -> None:
    reader = make_key(tmp_path / "keys.json", Role.READ, label="Registrar")
    lead = make_key(tmp_path / "keys.json", Role.READ, Role.ADMIN, label="Lead")
    bundle = write_bundle(tmp_path / "bundle")
    with StackProcess(tmp_path, bundle=bundle, api_keys_file=tmp_path / "keys.json") as running:
        # The service ends before its pages do.
        page = open_page(f"{running.wait_ready()}/#/thresholds/default", expected=("401", "silence"))
        page.wait_for(".thresholds .notice", "Sign in with a key above")
        sign_in(page, reader)
        page.wait_for("#gauges .gauge")
        choose(page, 0.2)
        page.wait_for("#policy-why", "that takes the role admin")
        assert page.page.locator(".saving button[type=submit]").is_disabled()
        other = open_page(f"{running.wait_ready()}/#/thresholds/default", expected=("401", "silence"))
        sign_in(other, lead)
        other.wait_for("#gauges .gauge")
        choose(other, 0.2)
        assert save(other) == 1
        with running.client() as client:
            saved = client.get(SITE, headers=bearer(reader)).json()["policy"]
        assert saved["by"] == lead.split("_")[1]
        assert f"by {saved['by']}" in other.text("#in-force")


# -- what decides, where it is not plain ----------------------------------------------------------------------------


def test_reply_that_was_lost_before_somebody_else_saved_is_told_as_both(
    open_page: OpenPage, stack: StackProcess, api: httpx.Client
) -> None:
    page = open_explorer(open_page, stack, expected=("silence", "412"))
    lose_once(page)
    choose(page, 0.17)
    before = api.get(SITE).json()["version"]
    page.page.click(".saving button[type=submit]")
    page.wait_for(".saving .message", "Save again: the same twice is one version")
    put(api, 0.16, "after")
    page.page.click(".saving button[type=submit]")
    told = page.wait_for(".conflict", f"Yours was saved as version {before + 1}, and the answer was lost.").inner_text()
    assert f"saved version {before + 2}" in told
    assert api.get(SITE).json()["version"] == before + 2


def test_while_no_worker_lives_the_page_says_that_nothing_is_scored(open_page: OpenPage, stack: StackProcess) -> None:
    page = open_page(stack.wait_ready())
    page.page.route("**/v1/models", lambda route: route.fulfill(json={"models": []}))
    nobody = dict.fromkeys(("active", "policy", "default"))
    page.answer_otherwise("**/v1/policies/default", lambda body: body.update(nobody))
    page.go("#/thresholds/default")
    page.wait_for("#in-force", "Nothing is scored at the moment: no worker serves a model")
    assert "no policy" not in page.text("#in-force")


def test_policy_for_another_model_is_said_to_decide_nothing(
    open_page: OpenPage, stack: StackProcess, api: httpx.Client
) -> None:
    put(api, 0.14)
    page = open_page(stack.wait_ready())

    def is_of_another_model(body: dict[str, Any]) -> None:
        model = {"name": "older", "version": "0.9", "digest": "ab" * 32}
        body.update(policy=None, policies=[body["history"][0] | {"model": model}])

    page.answer_otherwise("**/v1/policies/default", is_of_another_model)
    page.go("#/thresholds/default")
    said = page.wait_for("#in-force", "What was saved is for another model, and decides nothing now").inner_text()
    assert "for older 0.9" in said
    assert "the model's own point" in said


def test_model_that_nobody_serves_can_be_chosen_for_and_the_page_says_when_it_decides(
    open_page: OpenPage, stack: StackProcess
) -> None:
    page = open_page(stack.wait_ready())
    page.page.route("**/v1/models", lambda route: route.fulfill(json={"models": []}))
    page.go("#/thresholds/default")
    page.wait_for("#gauges .gauge")
    choose(page, 0.15)
    assert "No worker serves this model at the moment; one that does will decide by it." in page.text("#policy-why")


def test_model_without_a_table_is_no_riddle_and_is_looked_at_again(open_page: OpenPage, stack: StackProcess) -> None:
    page = open_page(stack.wait_ready())
    page.answer_otherwise("**/v1/models/*/operating-points", lambda body: body.update(table=None))
    page.go("#/thresholds/default")
    page.wait_for(".thresholds .notice", "no worker has brought it")
    page.page.unroute_all()
    page.page.click("button:has-text('Look again')")
    page.wait_for("#gauges .gauge")


def test_model_without_test_films_shows_no_figure(open_page: OpenPage, stack: StackProcess) -> None:
    page = open_page(stack.wait_ready())
    page.answer_otherwise("**/v1/models/*/operating-points", lambda body: body["table"].update(positives=0))
    page.go("#/thresholds/default")
    page.wait_for(".thresholds .notice", "came without test films of both kinds")
    assert page.page.locator(".gauge").count() == 0
