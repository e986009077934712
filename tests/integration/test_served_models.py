"""``GET /v1/models``: who computes what, where and in what, as the workers say it themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from services.jobs.queue import JobQueue
from services.jobs.status import WorkerStatus
from tests.support.gateway import GatewayProcess
from tests.support.jobs import SCORED_BY
from tests.support.redis_server import RedisServer

EXACT = WorkerStatus(
    consumer="a-exact",
    beat_ms=0,
    model=SCORED_BY,
    provider="cpu",
    threads=2,
    operating_point="f3",
    threshold=0.4,
    labels=(),
    operating_points=(),
    inference_precision="fp32",
)
FAST = replace(EXACT, consumer="b-fast", provider="openvino", threads=1, threshold=0.39, inference_precision="bf16")
# As 0.1.0 announces itself: it does not say in what it computes.
SILENT = replace(EXACT, consumer="c-silent", threads=4, inference_precision=None)


async def test_workers_that_decide_by_other_thresholds_are_never_shown_as_one(
    queue: JobQueue, redis_server: RedisServer, tmp_path: Path
) -> None:
    with GatewayProcess(tmp_path, redis_url=redis_server.url) as gateway:
        gateway.wait_ready()
        for status in (EXACT, FAST, SILENT):
            await queue.announce(status)
        with gateway.client() as client:
            answered = client.get("/v1/models").json()
    said = {
        model["threshold"]: (model["workers"], model["providers"], model["inference_precisions"])
        for model in answered["models"]
    }
    assert said == {0.4: (2, ["cpu"], ["fp32"]), 0.39: (1, ["openvino"], ["bf16"])}
    lines = {line["worker"]: (line["provider"], line["precision"], line["threads"]) for line in answered["workers"]}
    assert lines == {
        "a-exact": ("cpu", "fp32", 2),
        "b-fast": ("openvino", "bf16", 1),
        "c-silent": ("cpu", "fp32", 4),
    }


async def test_models_are_told_again_only_once_a_worker_came_or_went(
    queue: JobQueue, redis_server: RedisServer, tmp_path: Path
) -> None:
    with GatewayProcess(tmp_path, redis_url=redis_server.url) as gateway:
        gateway.wait_ready()
        await queue.announce(EXACT)
        with gateway.client() as client:
            first = client.get("/v1/models")
            known = {"If-None-Match": first.headers["etag"]}
            again = client.get("/v1/models", headers=known)
            await queue.announce(FAST)
            changed = client.get("/v1/models", headers=known)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert changed.status_code == 200
    assert len(changed.json()["models"]) == len(first.json()["models"]) + 1
