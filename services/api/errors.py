"""What a caller can do wrong, or the gateway cannot do right now.

ApiError
├── Unauthenticated         no credential, or none that we know (this one and the next seven: ``refusals``)
├── Forbidden               a valid key that is not for this
│   ├── SiteNotAllowed      the key is for other sites
│   └── ForeignOrigin       a page of another origin asks with this one's session, or through this user's browser
├── TooManyRequests         a caller over its quota
│   ├── TooManyFailures     wrong keys from one address
│   ├── TooManyUploads      uploads in flight of one key
│   └── RateLimited         uploads or sign-ins of one key, a second
├── MalformedRequest        the request contradicts HTTP or itself
│   ├── MalformedDigest     Content-Digest without a readable sha-256
│   ├── MalformedHttp       no clean HTTP/1.1: refused before any route
│   ├── MalformedMultipart  a multipart body that is none, or not of the parts that belong there
│   ├── NoInstances         a STOW-RS request without an instance
│   └── UploadAborted       the caller hung up before the payload was whole
├── UnsupportedMedia        a payload that we do not take
│   ├── UnsupportedMediaType
│   └── UnsupportedEncoding Content-Encoding other than identity
├── Unprocessable           well-formed, but cannot be accepted
│   ├── EmptyPayload
│   ├── DigestMismatch
│   └── InvalidCursor
├── PreconditionRequired    a change that does not say which version it was decided on
├── NotAcceptable           the caller takes no form of answer that there is
├── PayloadTooLarge
│   └── TooManyParts        more instances than one request may hold
├── UploadTimeout           idle, too slow or too long
├── HeaderTimeout           the request's headers took too long
├── HeadersTooLarge         too many bytes or fields before, or around, the body
├── ModelNotLoaded          no live worker serves a model of this digest
├── PictureUnavailable      the film is known, but not this picture of it
│   ├── FilmNotDone         the film has no outcome yet
│   ├── FilmNotAssessed     the film was not assessed, and there is no such picture of it
│   └── PictureAbsent       the film was decoded, but the picture was never kept
└── NotReady                cannot serve at the moment
    ├── ConnectionsBusy     as many connections open as we allow
    ├── UploadsBusy         as many uploads in flight as we allow
    ├── PicturesBusy        as many pictures waiting to be drawn as we allow
    ├── StreamsBusy         as many event streams open as we allow
    └── NotReconciled       queue and spool have not been compared since start

Classes carry ``code``, never a status: ``answers`` holds the one table.
"""

from __future__ import annotations

from typing import ClassVar


class ApiError(Exception):
    """Root of this package's errors. The message tells the caller what to do, and quotes nothing that was sent."""

    code: ClassVar[str] = "api_error"
    retryable: ClassVar[bool] = False


class MalformedRequest(ApiError):
    """The request contradicts HTTP or itself."""

    code: ClassVar[str] = "malformed_request"


class MalformedDigest(MalformedRequest):
    """``Content-Digest`` holds no readable sha-256."""

    code: ClassVar[str] = "malformed_digest"


class MalformedHttp(MalformedRequest):
    """The bytes are no clean HTTP/1.1, or could be read in two ways; no route has seen them."""

    code: ClassVar[str] = "malformed_http"


class MalformedMultipart(MalformedRequest):
    """The multipart body is none, ends too early, or has not the parts that belong there."""

    code: ClassVar[str] = "malformed_multipart"


class NoInstances(MalformedRequest):
    """A STOW-RS request without an instance."""

    code: ClassVar[str] = "no_instances"


class UploadAborted(MalformedRequest):
    """The caller hung up before the payload was whole; nothing was kept."""

    code: ClassVar[str] = "upload_aborted"


class UnsupportedMedia(ApiError):
    """A payload that we do not take."""

    code: ClassVar[str] = "unsupported_media"


class UnsupportedMediaType(UnsupportedMedia):
    """The declared media type is none of ours."""

    code: ClassVar[str] = "unsupported_media_type"


class UnsupportedEncoding(UnsupportedMedia):
    """The body is compressed; a decompression bomb is never inflated (RELIABILITY.md §2 S2)."""

    code: ClassVar[str] = "unsupported_encoding"


class Unprocessable(ApiError):
    """Well-formed, but cannot be accepted."""

    code: ClassVar[str] = "unprocessable"


class EmptyPayload(Unprocessable):
    """Not one byte arrived."""

    code: ClassVar[str] = "empty_payload"


class DigestMismatch(Unprocessable):
    """The bytes that arrived are not those whose digest was sent."""

    code: ClassVar[str] = "digest_mismatch"


class InvalidCursor(Unprocessable):
    """The cursor is not one that this service handed out."""

    code: ClassVar[str] = "invalid_cursor"


class PreconditionRequired(ApiError):
    """A change without If-Match: it could undo what somebody else has done meanwhile (RFC 6585 §3)."""

    code: ClassVar[str] = "precondition_required"


class NotAcceptable(ApiError):
    """The request's Accept names no form in which the answer exists."""

    code: ClassVar[str] = "not_acceptable"


class PayloadTooLarge(ApiError):
    """More bytes than a film, or a request, may have."""

    code: ClassVar[str] = "payload_too_large"


class TooManyParts(PayloadTooLarge):
    """More instances than one request may hold."""

    code: ClassVar[str] = "too_many_parts"


class UploadTimeout(ApiError):
    """The upload was idle, too slow or too long."""

    code: ClassVar[str] = "upload_timeout"
    retryable: ClassVar[bool] = True


class HeaderTimeout(ApiError):
    """The request's headers took too long, or a new connection sent nothing."""

    code: ClassVar[str] = "header_timeout"
    retryable: ClassVar[bool] = True


class HeadersTooLarge(ApiError):
    """Request line and headers, or trailers and chunk extensions, have too many bytes or fields."""

    code: ClassVar[str] = "headers_too_large"


class ModelNotLoaded(ApiError):
    """No live worker serves a model of this digest."""

    code: ClassVar[str] = "model_not_loaded"


class PictureUnavailable(ApiError):
    """The film is known, but not this picture of it."""

    code: ClassVar[str] = "picture_unavailable"


class FilmNotDone(PictureUnavailable):
    """The film has no outcome yet, and pictures come with the outcome."""

    code: ClassVar[str] = "film_not_done"
    retryable: ClassVar[bool] = True


class FilmNotAssessed(PictureUnavailable):
    """The film was not assessed, and no such picture was made of it; its ``reason`` says why."""

    code: ClassVar[str] = "film_not_assessed"


class PictureAbsent(PictureUnavailable):
    """The film was decoded, but this picture was not kept: no heat maps in its model, or no room or time for it."""

    code: ClassVar[str] = "picture_absent"


class NotReady(ApiError):
    """Cannot serve at the moment."""

    code: ClassVar[str] = "not_ready"
    retryable: ClassVar[bool] = True


class ConnectionsBusy(NotReady):
    """As many connections are open, or requests are waiting on one, as we allow."""

    code: ClassVar[str] = "connections_busy"


class UploadsBusy(NotReady):
    """As many uploads are in flight as we allow."""

    code: ClassVar[str] = "uploads_busy"


class PicturesBusy(NotReady):
    """As many pictures are waiting to be drawn as we allow."""

    code: ClassVar[str] = "pictures_busy"


class StreamsBusy(NotReady):
    """As many event streams are open as we allow."""

    code: ClassVar[str] = "streams_busy"


class NotReconciled(NotReady):
    """Queue and spool have not been compared since this process started."""

    code: ClassVar[str] = "not_reconciled"
