"""One small simulated site, study by study through a real gateway: it has to tell what the estimator says.

Part of ``benchmarks.feedback``.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np

from benchmarks.feedback_sites import Scenario, Site
from services.jobs.connection import connect_gateway
from services.jobs.performance import Cell, Figures, Reading, figures_of
from services.jobs.queue import JobQueue
from tests.support.gateway import GatewayProcess, wait_until
from tests.support.jobs import SCORED_BY, TIMINGS, make_job, scored
from tests.support.redis_server import RedisServer, redis_binaries

FIGURES: Final = ("sensitivity", "specificity", "ppv", "npv")
SMALL: Final = Scenario(prevalence=0.3, blind_share=0.3, studies=900, sensitivity=0.8, read_share=0.6)


def through_the_service(seed: int) -> tuple[dict[str, Any], Figures]:
    """Return what a gateway tells of a small site over HTTP, and what the estimator says of the same readings."""
    site = Site.of(SMALL, np.random.default_rng(seed))
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        server = RedisServer(next(iter(redis_binaries().values())), directory)
        server.start()
        try:
            settings = {"api_blind_share": SMALL.blind_share, "api_blind_seed": seed}
            with GatewayProcess(directory, redis_url=server.url, **settings) as gateway, gateway.client() as client:
                gateway.wait_ready()
                studies = asyncio.run(_decide(server, site))
                wait_until(lambda: _counted(client) == SMALL.studies, what="every study is counted")
                return _read(client, site, studies)
        finally:
            server.stop()


async def _decide(server: RedisServer, site: Site) -> list[str]:
    """End every study's film as the site has it, as a worker would; return the studies."""
    studies = []
    async with connect_gateway(server.settings) as redis:
        queue = JobQueue(redis)
        for is_flagged in site.is_flagged:
            job = make_job()
            await queue.submit(job)
            (taken,) = await queue.take("bench", count=1, block_ms=0)
            await queue.finish(taken, scored(flagged=bool(is_flagged)), model=SCORED_BY, timings=TIMINGS)
            studies.append(job.study_uid)
    return studies


def _counted(client: httpx.Client) -> int:
    return sum(client.get("/v1/performance").json()["overall"]["studies"].values())


def _read(client: httpx.Client, site: Site, studies: list[str]) -> tuple[dict[str, Any], Figures]:
    """Read what the gateway has drawn, and some of what is flagged; every other miss is volunteered besides."""
    drawn = set(_blind_list(client))
    flagged, blind = [], []
    for at, study in enumerate(studies):
        reading = Reading(truth=site.truth_of(at), share=SMALL.blind_share)
        if study in drawn:
            _say(client, study, {"truth": reading.truth, "source": "reader", "blind": True})
            (flagged if site.is_flagged[at] else blind).append(reading)
        elif site.is_flagged[at] and site.is_read[at]:
            _say(client, study, {"truth": reading.truth, "source": "report", "verdict": "agree"})
            flagged.append(reading)
        elif not site.is_flagged[at] and site.is_ill[at] and at % 2:
            _say(client, study, {"truth": "finding", "source": "follow_up", "verdict": "disagree"})
    counts = {"flagged": int(site.is_flagged.sum()), "not_flagged": int((~site.is_flagged).sum())}
    cell = Cell(**counts, of_flagged=tuple(flagged), blind=tuple(blind))
    return client.get("/v1/performance").json()["overall"], figures_of([cell])


def _blind_list(client: httpx.Client) -> Iterator[str]:
    cursor = None
    while True:
        parameters = {"blind": "true", "limit": 200} | ({"cursor": cursor} if cursor else {})
        page = client.get("/v1/studies", params=parameters).json()
        yield from (study["study_uid"] for study in page["studies"])
        cursor = page["next_cursor"]
        if cursor is None:
            return


def _say(client: httpx.Client, study: str, body: dict[str, Any]) -> None:
    answer = client.post(f"/v1/studies/{study}/assessments", json=body)
    assert answer.status_code == 201, answer.text


def agree(told: Mapping[str, Any], figures: Figures) -> bool:
    """Return whether the service told the estimator's figures."""
    for name in FIGURES:
        figure = getattr(figures, name).figure
        if figure is None or any(
            abs(told[name][end] - getattr(figure, end)) > 1e-9 for end in ("value", "low", "high")
        ):
            return False
    return True
