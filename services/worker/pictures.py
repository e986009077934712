"""Keeps a film's pictures beside its payload. A picture that cannot be kept costs the film nothing but the picture.

Must not know how films are decoded or decided. Beside the walk, between scoring and finish.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.heatmap import Activation, is_drawable
from model.preview import Preview
from services.jobs.errors import SpoolFull, SpoolUnavailable
from services.jobs.pictures import pack_picture
from services.jobs.records import Job, ModelReference, Picture
from services.jobs.spool import Spool
from services.worker import metrics

logger = logging.getLogger(__name__)

_NOT_FINITE = "not_finite"


class PictureKeeper:
    """Writes previews and activation maps through the spool; answers with those that were kept, and never raises."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    async def keep_preview(self, job: Job, preview: Preview | None) -> frozenset[Picture]:
        """Keep a film's preview, where there is one."""
        if preview is None:
            return frozenset()
        return await self._keep(job, Picture.PREVIEW, preview, of=job.sha256)

    async def keep_activation(
        self, job: Job, activation: Activation | None, *, temperature: float, model: ModelReference
    ) -> frozenset[Picture]:
        """Keep what the heat map is drawn from, in log-odds of the calibrated probability; no map that has a NaN."""
        if activation is None:
            return frozenset()
        calibrated = activation / np.float32(temperature)
        if not is_drawable(calibrated):
            _report_loss(job, Picture.HEATMAP, _NOT_FINITE)
            return frozenset()
        return await self._keep(job, Picture.HEATMAP, calibrated, of=model.digest)

    async def _keep(self, job: Job, picture: Picture, array: NDArray[Any], *, of: str) -> frozenset[Picture]:
        try:
            await asyncio.to_thread(self._write, job, picture, array, of)
        except (SpoolFull, SpoolUnavailable) as error:
            _report_loss(job, picture, error.code)
            return frozenset()
        return frozenset({picture})

    def _write(self, job: Job, picture: Picture, array: NDArray[Any], of: str) -> None:
        self._spool.keep_picture(job, picture, pack_picture(array, of=of))


def _report_loss(job: Job, picture: Picture, code: str) -> None:
    metrics.PICTURES_LOST.labels(picture, code).inc()
    fields = {"action": "picture_not_kept", "job_id": job.id, "picture": str(picture), "code": code}
    logger.warning("picture not kept", extra=fields)
