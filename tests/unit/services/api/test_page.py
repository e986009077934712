"""The page's files: served to anybody, asking nobody but the service, and all there."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from model.errors import Reason
from services.api.app import create_app
from services.api.page import START, read_page
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
    other = await client.get("/web/base.css", headers={"If-None-Match": first.headers["etag"]})
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


def imported_by(module: str) -> list[str]:
    """Return the modules that one cannot begin without."""
    return re.findall(r'from "\./([^"]+)"', (WEB / module).read_text())


def test_modules_import_only_modules_that_exist() -> None:
    for module in WEB.glob("*.js"):
        later = re.findall(r'import\("\./([^"]+)"\)', module.read_text())
        for imported in imported_by(module.name) + later:
            assert (WEB / imported).exists(), f"{module.name} imports {imported}"


def test_start_names_every_module_of_the_worklist_so_that_none_waits_for_another() -> None:
    start = (WEB / START).read_text()
    begun = re.findall(r'<script type="module"[^>]* src="/web/([^"]+)"', start)
    needed, ahead = set(), {*begun, "worklist.js"}
    while ahead:
        module = ahead.pop()
        needed.add(module)
        ahead |= set(imported_by(module)) - needed
    assert re.findall(r'<link rel="modulepreload" href="/web/([^"]+)"', start) == sorted(needed - set(begun))


def test_start_names_every_style_sheet() -> None:
    sheets = re.findall(r'<link rel="stylesheet" href="/web/([^"]+)"', (WEB / START).read_text())
    assert sorted(sheets) == sorted(path.name for path in WEB.glob("*.css"))


@pytest.mark.parametrize(
    ("offered", "is_compressed"),
    [("gzip", True), ("br, gzip;q=0.5", True), ("gzip;q=0", False), ("identity", False), ("gzip ; q=0.0, br", False)],
)
async def test_file_comes_compressed_to_those_who_can_read_it(
    client: httpx.AsyncClient, offered: str, is_compressed: bool
) -> None:
    answer = await client.get("/web/app.js", headers={"Accept-Encoding": offered})
    assert answer.headers.get("content-encoding") == ("gzip" if is_compressed else None)
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.content == (WEB / "app.js").read_bytes()
    assert (int(answer.headers["content-length"]) < len(answer.content)) is is_compressed


async def test_tag_of_a_compressed_file_is_that_of_the_plain_one(client: httpx.AsyncClient) -> None:
    tags = set()
    for offered in ("gzip", "identity"):
        answer = await client.get("/web/app.js", headers={"Accept-Encoding": offered})
        tags.add(answer.headers["etag"])
    (tag,) = tags
    assert tag.startswith("W/")
    again = await client.get("/web/app.js", headers={"Accept-Encoding": "identity", "If-None-Match": tag})
    assert again.status_code == 304


def test_files_name_no_address_and_no_verdict_of_health() -> None:
    for path in WEB.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//[a-z]+\.", text), path.name
        assert "healthy" not in text.lower(), path.name


def test_no_string_ever_becomes_markup() -> None:
    for module in WEB.glob("*.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", module.read_text())


def test_whole_page_is_small_on_the_wire() -> None:
    assert sum(len(file.compressed) for file in read_page().values()) <= 200 * 1024
