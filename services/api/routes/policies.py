"""Which threshold decides a site's films: read, chosen with its consequences in view, tried out before."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from services.api.access.guard import address_of
from services.api.bodies import JSON, body_of, read_json
from services.api.errors import PreconditionRequired
from services.api.gateway import CallerDependency, GatewayDependency
from services.api.parameters import NoQuery
from services.api.policy_schemas import PolicyDocument, PolicyDocuments, PolicyPreview, PolicyWish, Trial
from services.api.problems import documented
from services.api.scopes import SITE_PATTERN, Role, needs
from services.jobs.ledger.policies import policy_changed

router = APIRouter(prefix="/v1/policies", tags=["policies"])

Site = Annotated[str, Path(pattern=SITE_PATTERN, description="The site whose films are decided.")]

_ONE_VERSION: Final = re.compile(r'"(\d{1,9})"')
_NO_VERSION: Final = -1
_ETAG: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "model": PolicyDocument,
        "headers": {"ETag": {"description": "The site's latest version, quoted.", "schema": {"type": "string"}}},
    }
}
_PUT: Final[dict[str, Any]] = body_of(PolicyWish) | {
    "parameters": [
        {
            "name": "If-Match",
            "in": "header",
            "required": True,
            "description": 'The version that this was decided on, as the ETag has it: "0" where the site has none.',
            "schema": {"type": "string"},
        }
    ]
}


@router.get("", summary="The policies of all sites", responses=documented(422, 503))
@needs(Role.READ)
async def list_policies(
    _query: Annotated[NoQuery, Query()], gateway: GatewayDependency, caller: CallerDependency
) -> PolicyDocuments:
    """Return the current policies of every site that the caller sees."""
    return PolicyDocuments(policies=await gateway.policies.documents(caller))


@router.get(
    "/{site}", summary="A site's policies", response_class=Response, responses=_ETAG | documented(404, 422, 503)
)
@needs(Role.READ)
async def policies_of(
    site: Site, _query: Annotated[NoQuery, Query()], gateway: GatewayDependency, caller: CallerDependency
) -> Response:
    """Return what decides the site's films, and every policy that did; the ETag is for a PUT's If-Match."""
    return _answer(await gateway.policies.document(caller.site_for(site)))


@router.put(
    "/{site}",
    summary="Choose a site's threshold",
    response_class=Response,
    responses=_ETAG | documented(400, 404, 408, 409, 412, 413, 415, 422, 428, 503),
    openapi_extra=_PUT,
)
@needs(Role.ADMIN)
async def choose(
    request: Request,
    site: Site,
    _query: Annotated[NoQuery, Query()],
    gateway: GatewayDependency,
    caller: CallerDependency,
) -> Response:
    """Make a threshold the site's policy for one model; workers decide by it within two seconds.

    Bound to the version that it was decided on, so that of two who choose at once one is told. Results keep the policy
    that decided them.
    """
    site = caller.site_for(site)
    seen = _seen(request)
    wish = await read_json(request, PolicyWish)
    policy = await gateway.policies.choose(site, wish, seen=seen, by=caller.key_id)
    gateway.audit.note_facts(policy_changed(policy, who=caller.key_id, source=address_of(request)))
    return _answer(await gateway.policies.document(site))


@router.post(
    "/{site}/preview",
    summary="Try a threshold out",
    responses=documented(400, 404, 408, 409, 413, 415, 422, 503),
    openapi_extra=body_of(Trial),
)
@needs(Role.READ)
async def preview(
    request: Request,
    site: Site,
    _query: Annotated[NoQuery, Query()],
    gateway: GatewayDependency,
    caller: CallerDependency,
) -> PolicyPreview:
    """Decide the site's last films again by another threshold, on paper: nothing is changed."""
    return await gateway.policies.preview(caller.site_for(site), await read_json(request, Trial))


def _seen(request: Request) -> int:
    """Return the version that If-Match names. A weak tag, or several, name none that could be this site's."""
    named = request.headers.get("if-match", "").strip()
    if named in ("", "*"):
        raise PreconditionRequired('Say with If-Match which version this was decided on, for example If-Match: "3".')
    found = _ONE_VERSION.fullmatch(named)
    return int(found.group(1)) if found else _NO_VERSION


def _answer(document: PolicyDocument) -> Response:
    headers = {"ETag": f'"{document.version}"', "Cache-Control": "no-store"}
    return Response(document.model_dump_json(), headers=headers, media_type=JSON)
