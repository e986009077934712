"""The page's files: served to anybody, asking nobody but the service, and all there."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from model.errors import Reason
from services.api.app import create_app
from services.api.page import read_page
from services.jobs.settings import ApiSettings, AuditSettings, QueueSettings, RedisSettings, SpoolSettings
from tests.support.access import make_key

WEB = Path(__file__).parents[4] / "services" / "api" / "web"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway with keys and without Redis, asked by a caller who has no key."""
    make_key(tmp_path / "keys.json")
    api = ApiSettings(host="0.0.0.0", keys_file=tmp_path / "keys.json")
    app = create_app(
        api=api,
        redis=RedisSettings(),
        spool=SpoolSettings(directory=tmp_path / "spool"),
        audit=AuditSettings(directory=tmp_path / "audit"),
        films=QueueSettings(),
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


async def test_page_and_its_files_need_neither_key_nor_redis(client: httpx.AsyncClient) -> None:
    start = await client.get("/")
    assert start.status_code == 200
    assert start.headers["content-type"] == "text/html; charset=utf-8"
    named = set(re.findall(r'(?:href|src)="(/web/[^"]+)"', start.text))
    assert named
    for path in named | {f"/web/{name}" for name in read_page()}:
        assert (await client.get(path)).status_code == 200, path


async def test_page_may_load_nothing_from_elsewhere_and_nobody_may_frame_it(client: httpx.AsyncClient) -> None:
    for path in ("/", "/web/app.js"):
        policy = (await client.get(path)).headers.get_list("content-security-policy")
        (only,) = policy
        assert only.startswith("default-src 'none'; script-src 'self';")
        assert "frame-ancestors 'none'" in only
        assert "unsafe" not in only


async def test_file_that_has_not_changed_is_not_sent_again(client: httpx.AsyncClient) -> None:
    first = await client.get("/web/app.js")
    again = await client.get("/web/app.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = await client.get("/web/style.css", headers={"If-None-Match": first.headers["etag"]})
    assert other.status_code == 200


@pytest.mark.parametrize("path", ["/web/absent.js", "/web/", "/web/..%2fpage.py", "/web/%2e%2e/page.py", "/web/web"])
async def test_nothing_but_the_pages_files_is_served(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.status_code == 404
    assert response.json()["code"] == "not_found"


async def test_probe_by_head_is_answered_and_other_methods_are_not(client: httpx.AsyncClient) -> None:
    assert (await client.head("/")).status_code == 200
    assert (await client.post("/")).status_code == 405


def test_every_reason_has_its_meaning_for_the_page() -> None:
    text = read_page()["reasons.json"].content.decode()
    assert all(f'"{reason}"' in text for reason in Reason)


def test_modules_import_only_modules_that_exist() -> None:
    for module in WEB.glob("*.js"):
        for imported in re.findall(r'from "\./([^"]+)"', module.read_text()):
            assert (WEB / imported).exists(), f"{module.name} imports {imported}"


def test_files_name_no_address_and_no_verdict_of_health() -> None:
    for path in WEB.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//[a-z]+\.", text), path.name
        assert "healthy" not in text.lower(), path.name


def test_no_string_ever_becomes_markup() -> None:
    for module in WEB.glob("*.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", module.read_text())
