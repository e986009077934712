"""What the door refuses: no key, a key that is not for this, or a caller over its quota. ``errors`` has the tree."""

from __future__ import annotations

from typing import ClassVar

from services.api.errors import ApiError


class Unauthenticated(ApiError):
    """No credential, or none that we know."""

    code: ClassVar[str] = "unauthenticated"


class Forbidden(ApiError):
    """The key is valid, but has none of the roles that this takes."""

    code: ClassVar[str] = "forbidden"


class SiteNotAllowed(Forbidden):
    """The key is bound to other sites than the one that was named."""

    code: ClassVar[str] = "site_not_allowed"


class ForeignOrigin(Forbidden):
    """A browser sent this for a page of another origin, or does not say for which."""

    code: ClassVar[str] = "foreign_origin"


class TooManyRequests(ApiError):
    """A caller over its quota; ``seconds`` until it has room again."""

    code: ClassVar[str] = "too_many_requests"
    retryable: ClassVar[bool] = True

    def __init__(self, message: str, *, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class TooManyFailures(TooManyRequests):
    """Too many wrong keys from one address."""

    code: ClassVar[str] = "too_many_failures"


class TooManyUploads(TooManyRequests):
    """As many uploads of this key are in flight as one key may have."""

    code: ClassVar[str] = "too_many_uploads"


class RateLimited(TooManyRequests):
    """More uploads or sign-ins a second than one key may make."""

    code: ClassVar[str] = "rate_limited"
