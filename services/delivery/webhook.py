"""A film's outcome to whoever wants to fetch more: signed, and without patient data. Standard Webhooks 1.0.

The body has our id of the film, its site, outcome and reason, and the link to its record, which asks for a key. Neither
DICOM UIDs nor anything that was read from the film. Knows no outbox.
"""

from __future__ import annotations

import json
import time
from typing import Final

from model.errors import Reason
from services.delivery.errors import TargetsInvalid
from services.delivery.http import client_for, post, refusal_or_failure
from services.delivery.signing import signed_headers, signing_key
from services.delivery.targets import WebhookTarget
from services.delivery.verdicts import Delivered, Failed, Gone, Verdict
from services.jobs.records import Record

_GONE: Final = 410
# Standard Webhooks: any 2xx is a success, all others are failures to be tried again. Only these two say of the message
# itself that no receiver behind the address will take it.
_FINAL: Final = frozenset({"http_413", "http_415"})


class WebhookSender:
    """Sends one message for each decision of a film.

    Raises
    ------
    TargetsInvalid
        If the secret is none, or a certificate of the target cannot be read.
    """

    def __init__(self, target: WebhookTarget, *, seconds: float, connections: int) -> None:
        try:
            self._key = signing_key(target.secret.read())
        except ValueError as error:
            raise TargetsInvalid(f"target {target.name}: secret: {error}") from None
        self._address = target.address
        self._seconds = seconds
        self._client = client_for(target.tls, target=target.name, seconds=seconds, connections=connections)

    async def send(self, record: Record, *, commit: int) -> Verdict:
        """Send the message of this decision; the same one, under the same id, however often."""
        body = message(record, commit=commit)
        # The host's clock: receivers compare it with theirs, and allow for five minutes.
        now_seconds = int(time.time())
        headers = {
            "Content-Type": "application/json",
            **signed_headers(
                self._key, message_id=message_id(record.id, commit), timestamp_seconds=now_seconds, body=body
            ),
        }
        reply = await post(self._client, self._address, content=body, headers=headers, seconds=self._seconds)
        if isinstance(reply, Failed):
            return reply
        if 200 <= reply.status < 300:
            return Delivered()
        if reply.status == _GONE:
            return Gone()
        verdict = refusal_or_failure(reply)
        is_final = isinstance(verdict, Failed) or verdict.reason in _FINAL
        return verdict if is_final else Failed(reason=verdict.reason)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def message_id(film_id: str, commit: int) -> str:
    """Return what receivers tell repeats by: the same for each attempt at one decision, and for no other."""
    return f"cxr_{film_id}_{commit}"


def message(record: Record, *, commit: int) -> bytes:
    """Return the body; the same bytes for the same decision.

    Probability and findings stay behind the link, so that who may read them is decided in one place.
    """
    assert record.done_at is not None, "only what is decided is sent"
    kind = "instance.withdrawn" if record.reason is Reason.WITHDRAWN else "instance.decided"
    content = {
        "type": kind,
        "timestamp": record.done_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": {
            "id": record.id,
            "site": record.site,
            "priority": record.priority,
            "outcome": record.outcome,
            "reason": record.reason,
            "commit": commit,
            "link": record.links.self,
        },
    }
    return json.dumps(content, separators=(",", ":"), sort_keys=True).encode("utf-8")
