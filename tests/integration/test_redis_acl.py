"""Redis with the users that ``cxr-triage secrets new`` makes: the whole walk works, and nothing beyond it."""

from __future__ import annotations

import io
import re
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from pydicom import dcmread
from typer.testing import CliRunner

from services.api.scopes import Role
from services.commands.secrets import app
from services.jobs.rights import ALLOWED, RedisUser, acl_file
from tests.support.access import bearer, make_key
from tests.support.bundles import write_tiny_bundle
from tests.support.delivery import DeliveryProcess, hook
from tests.support.dimse import DimseProcess, send
from tests.support.films import dicom_film, png_film
from tests.support.gateway import GatewayProcess, WorkerProcess, wait_until
from tests.support.key_objects import key_object
from tests.support.ports import free_ports, is_listening
from tests.support.processes import wait_or_kill
from tests.support.receivers import Receiver
from tests.support.redis_server import EVERY_REDIS, RedisServer
from tests.support.tools import tool

PASSWORDS = {user: f"password-of-{user}" for user in RedisUser}
OPERATOR = "operator"  # a user that only this test has: nobody of ours may look at the log of refusals
FORBIDDEN = (
    *("FLUSHALL", "FLUSHDB", "KEYS *", "CONFIG SET maxmemory 1", "CONFIG REWRITE", "DEBUG SLEEP 0", "MODULE LIST"),
    *("SHUTDOWN NOSAVE", "REPLICAOF NO ONE", "SAVE", "BGREWRITEAOF", "ACL LIST", "CLIENT LIST", "MONITOR", "SCAN 0"),
    *("EVAL return 0", "SCRIPT FLUSH", "SORT {cxr}:open", "XTRIM {cxr}:q:stat MAXLEN 0", "RENAME {cxr}:open {cxr}:x"),
    *("GET other", "SET other 1", "PUBLISH channel message", "SUBSCRIBE channel", "SELECT 1", "SWAPDB 0 1"),
)


class GuardedRedis(RedisServer):
    """A server whose default user is off."""

    def client(self) -> redis.Redis:
        return self.client_of(OPERATOR, OPERATOR)

    def client_of(self, user: str, password: str) -> redis.Redis:
        return redis.Redis(
            unix_socket_path=str(self.socket),
            username=user,
            password=password,
            decode_responses=True,
            protocol=2,
            retry=None,
            socket_timeout=10,
        )

    def url_of(self, user: RedisUser) -> str:
        return f"unix://{user}:{PASSWORDS[user]}@{self.socket}"


@pytest.fixture
def guarded(redis_binary: Path, tmp_path: Path) -> Iterator[GuardedRedis]:
    directory = tmp_path / "redis"
    directory.mkdir()
    users = directory / "users.acl"
    users.write_text(acl_file(PASSWORDS) + f"user {OPERATOR} on >{OPERATOR} ~* &* +@all\n")
    server = GuardedRedis(redis_binary, directory, "--aclfile", str(users))
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)
def test_film_walks_from_gateway_to_worker_with_the_rights_of_each(guarded: GuardedRedis, tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle")
    key = make_key(tmp_path / "keys.json", Role.ADMIN)
    settings = {"api_keys_file": tmp_path / "keys.json", "api_secure_cookie": False}
    impatient = settings | {"api_upkeep_seconds": 0.5, "worker_reconcile_seconds": 0.5}
    with (
        GatewayProcess(tmp_path, redis_url=guarded.url_of(RedisUser.API), **impatient) as gateway,
        WorkerProcess(tmp_path, redis_url=guarded.url_of(RedisUser.WORKER), bundle=bundle, **impatient),
        gateway.client(headers=bearer(key)) as client,
    ):
        gateway.wait_ready()
        png = {"Content-Type": "image/png"}
        for seed, priority in ((1, "stat"), (2, "routine")):
            params = {"wait": 10, "priority": priority}
            film = client.post("/v1/instances", content=png_film(seed=seed), headers=png, params=params).json()
            wait_until(lambda film=film: is_done(client, film), what="the decision")  # type: ignore[misc]  # mypy 9106
            record = client.get(film["links"]["self"]).json()
            assert record["outcome"] in ("flagged", "not_flagged")
        assert client.get(record["links"]["study"]).json()["instances"] == [record]
        listed = client.get("/v1/studies")
        assert listed.is_success, listed.text
        assert len(listed.json()["studies"]) == 2
        wait_until(lambda: len(client.get("/v1/models").json()["models"]) == 1, what="the worker's word")
        assert client.get(record["links"]["preview"]).is_success
        assert client.post(f"{record['links']['self']}/rescore").is_success
        wait_until(lambda: is_done(client, record), what="the second decision")
        page = {"Origin": gateway.url}
        assert client.post("/v1/session", json={"key": key}, headers=page).is_success
        del client.headers["Authorization"]
        assert client.get("/v1/studies", headers=page).is_success, "the cookie suffices"
        assert client.delete("/v1/session", headers=page).is_success
        client.headers.update(bearer(key))
        wait_until(lambda: "cxr_queue_up 1.0" in client.get("/metrics").text, what="figures of the queue")
        gateway.wait_ready()
    assert refused_to(guarded) == set()


@pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)
def test_film_walks_from_a_modality_to_a_dashboard_and_is_taken_back_with_the_rights_of_each(
    guarded: GuardedRedis, tmp_path: Path
) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle")
    film = dicom_film()
    instance = dcmread(io.BytesIO(film))
    with Receiver(tmp_path / "dashboard", "http") as dashboard:
        dashboard.start()
        url = {user: guarded.url_of(user) for user in RedisUser}
        with (
            DeliveryProcess(
                tmp_path, guarded, hook(dashboard.port, tmp_path), redis_url=url[RedisUser.DELIVERY]
            ) as sender,
            WorkerProcess(tmp_path, redis_url=url[RedisUser.WORKER], bundle=bundle),
            DimseProcess(tmp_path, redis_url=url[RedisUser.DIMSE]) as listener,
        ):
            sender.wait_started()
            listener.wait_ready()
            assert send(listener.port, film)[0].Status == 0
            wait_until(lambda: len(dashboard.kept()) == 1, what="word of the outcome")
            note = key_object({instance.StudyInstanceUID: [instance.SOPInstanceUID]})
            assert send(listener.port, note)[0].Status == 0
            wait_until(lambda: len(dashboard.kept()) == 2, what="word of the withdrawal")
    assert refused_to(guarded) == set()


def refused_to(guarded: GuardedRedis) -> set[tuple[str, str]]:
    """Return what users have tried and may not."""
    with guarded.client() as operator:
        refused = {(entry["username"], entry["object"]) for entry in operator.acl_log()}
    # redis-py introduces itself (CLIENT SETINFO), which Redis 7.0 has no name for, and does without.
    return {(user, command) for user, command in refused if not command.startswith("client")}


def is_done(client: httpx.Client, film: dict[str, Any]) -> bool:
    return bool(client.get(film["links"]["self"]).json()["state"] == "done")


@pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)
@pytest.mark.parametrize("user", RedisUser)
def test_nobody_may_do_what_nobody_needs(guarded: GuardedRedis, user: RedisUser) -> None:
    with guarded.client_of(user, PASSWORDS[user]) as client:
        assert client.ping()
        for command in FORBIDDEN:
            # Redis 7 allows DEBUG to nobody, before it looks at rights.
            with pytest.raises(redis.exceptions.ResponseError, match=r"no permissions|DEBUG command not allowed"):
                client.execute_command(*command.split(" "))


@pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)
def test_exporter_sees_figures_of_redis_and_no_key(guarded: GuardedRedis) -> None:
    with guarded.client_of(RedisUser.EXPORTER, PASSWORDS[RedisUser.EXPORTER]) as client:
        assert client.info("memory")["used_memory"] > 0
        for command in (
            "XLEN {cxr}:q:stat",
            "SLOWLOG GET 1",
            "CONFIG GET *",
            "HGETALL {cxr}:s:0",
            "XRANGE {cxr}:q:stat - +",
            "SET {cxr}:probe 1",
            "EVALSHA 0 0",
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command.split(" "))


@pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)
def test_the_real_exporter_tells_figures_with_the_rights_of_its_user(guarded: GuardedRedis, tmp_path: Path) -> None:
    program, (port,) = tool("prometheus-redis-exporter"), free_ports(1)
    told = {
        "REDIS_ADDR": f"unix://{guarded.socket}",
        "REDIS_USER": RedisUser.EXPORTER,
        "REDIS_PASSWORD": PASSWORDS[RedisUser.EXPORTER],
    }
    # As deploy/docker-compose.yml has it.
    told |= {"REDIS_EXPORTER_SET_CLIENT_NAME": "false", "REDIS_EXPORTER_CONFIG_COMMAND": "-"}
    with (tmp_path / "exporter.log").open("wb") as log:
        process = subprocess.Popen([program, f"-web.listen-address=127.0.0.1:{port}"], env=told, stdout=log, stderr=log)
    try:
        wait_until(lambda: is_listening(port), what="the exporter")
        figures = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, timeout=60).text
    finally:
        process.terminate()
        wait_or_kill(process, seconds=60)
    for figure in ("redis_up 1", "redis_aof_last_write_status 1", "redis_aof_enabled 1"):
        assert f"\n{figure}\n" in figures
    for name in ("redis_memory_used_bytes", "redis_memory_max_bytes", "redis_slowlog_length"):
        assert f"\n{name} " in figures
    assert {command for _, command in refused_to(guarded)} <= {"slowlog", "slowlog|get"}, "it does without"


@pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)
def test_gateway_can_neither_take_films_nor_steal_them(guarded: GuardedRedis) -> None:
    with guarded.client_of(RedisUser.API, PASSWORDS[RedisUser.API]) as client:
        for command in ("XREADGROUP GROUP w me STREAMS {cxr}:q:stat >", "XCLAIM {cxr}:q:stat w me 0 1-1"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command.split(" "))


@pytest.mark.parametrize("redis_binary", EVERY_REDIS, indirect=True)
def test_nobody_gets_in_without_a_password(guarded: GuardedRedis) -> None:
    stranger = redis.Redis(unix_socket_path=str(guarded.socket), protocol=2, retry=None)
    with stranger, pytest.raises(redis.exceptions.AuthenticationError):
        stranger.ping()
    with guarded.client_of("default", "") as client, pytest.raises(redis.exceptions.AuthenticationError):
        client.ping()


def test_every_command_of_the_scripts_is_listed() -> None:
    text = "\n".join(path.read_text() for path in (files("services.jobs") / "scripts").iterdir())  # type: ignore[attr-defined]
    called = {name.lower() for name in re.findall(r"redis\.p?call\('([A-Z]+)'", text)}
    called |= {name.lower() for name in re.findall(r"local command = \{ '([A-Z]+)'", text)}
    assert called
    assert called <= {command.partition("|")[0] for command in ALLOWED[RedisUser.WORKER]}


def test_secrets_are_made_once_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    made = CliRunner().invoke(app, ["new", str(tmp_path / "secrets"), "--redis", "host:7000"])
    assert made.exit_code == 0
    environments = ("api.env", "worker.env", "dimse.env", "delivery.env", "exporter.env")
    ours = ("keys", "keys/api-keys.json", "targets", "tls", "prometheus/metrics.key", "grafana/password")
    for name in ("", "redis/users.acl", *environments, *ours):
        assert (tmp_path / "secrets" / name).stat().st_mode & 0o077 == 0, name
    users = (tmp_path / "secrets" / "redis" / "users.acl").read_text()
    password = re.fullmatch(
        r"CXR_REDIS_URL=redis://api:(\S+)@host:7000/0\n", (tmp_path / "secrets" / "api.env").read_text()
    )
    assert password is not None
    assert password[1] not in users
    again = CliRunner().invoke(app, ["new", str(tmp_path / "secrets")])
    assert again.exit_code != 0
    assert (tmp_path / "secrets" / "redis" / "users.acl").read_text() == users
