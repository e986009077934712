"""Tasks that run as long as the gateway does: started together, ended for certain. Knows not what they do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

from services.jobs.ending import end

logger = logging.getLogger(__name__)


@asynccontextmanager
async def running(steps: Mapping[str, Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run the coroutines, by name, beside the block; they are cancelled at its end."""
    tasks = {asyncio.create_task(step, name=name) for name, step in steps.items()}
    for task in tasks:
        task.add_done_callback(_log_death)
    try:
        yield
    finally:
        if left := await end(tasks):
            fields = {"action": "tasks_abandoned", "tasks": sorted(task.get_name() for task in left)}
            logger.warning("background tasks did not end", extra=fields)


def _log_death(task: asyncio.Task[None]) -> None:
    """Log the end of a task that nobody awaits: waiting would get slow, or readiness never come."""
    if not task.cancelled() and (error := task.exception()) is not None:
        fields = {"action": "task_failed", "task": task.get_name()}
        logger.critical("background task failed", exc_info=error, extra=fields)
