"""Everything that can go wrong between bytes and decision, and the closed list of reasons for it.

    ModelError
    ├── ImageError                  one film's fault; carries the Reason it ends with
    │   ├── UnsupportedFormat       the bytes are of no format we know: never accepted
    │   ├── CorruptImage            known format, unreadable header or pixels
    │   └── UnsuitableImage         readable, but not a film that may be judged
    │       └── LateralView         for no other reason than that it is a lateral
    ├── BundleError                 ends the process at start, with one line
    │   ├── BundleNotFound
    │   ├── BundleCorrupt           bytes differ from the manifest
    │   └── BundleIncompatible      well-formed, but not something this version can serve
    └── InferenceError              the runtime failed; the films are not to blame
        ├── ProviderUnavailable     a named execution provider did not become active
        └── NonFiniteScore          the network answered NaN or infinity for one film

``code`` is public and stable; ``retryable`` tells the worker whether trying again can help.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class Reason(StrEnum):
    """Why a film ended ``not_assessed``. Closed: adding or renaming one is a breaking change."""

    DECODE_ERROR = "decode_error"
    DECODE_CRASH = "decode_crash"
    DECODE_TIMEOUT = "decode_timeout"
    DECODE_MEMORY = "decode_memory"
    PAYLOAD_DIGEST = "payload_digest"
    NO_PIXEL_DATA = "no_pixel_data"
    TRANSFER_SYNTAX = "transfer_syntax"
    SOP_CLASS = "sop_class"
    MODALITY = "modality"
    BODY_PART = "body_part"
    VIEW = "view"
    AGE = "age"
    AGE_UNKNOWN = "age_unknown"
    PHOTOMETRIC = "photometric"
    MULTI_FRAME = "multi_frame"
    FOR_PROCESSING = "for_processing"
    DERIVED = "derived"
    QUALITY_CONTROL = "quality_control"
    TOO_SMALL = "too_small"
    TOO_LARGE = "too_large"
    ASPECT = "aspect"
    INVERTED = "inverted"
    BLANK = "blank"
    OUT_OF_DISTRIBUTION = "out_of_distribution"
    DEADLINE = "deadline"
    WORKER_CRASH = "worker_crash"
    RETRIES_EXHAUSTED = "retries_exhausted"
    NON_FINITE = "non_finite"
    WITHDRAWN = "withdrawn"

    @property
    def meaning(self) -> str:
        """What happened and what to do, in one or two sentences for the person at the worklist."""
        return _MEANINGS[self]


_MEANINGS = {
    Reason.DECODE_ERROR: "The pixels cannot be decoded. Send the film again from its source; a copy may be damaged.",
    Reason.DECODE_CRASH: "The decoder died on this film. Read it by hand and report the file to the maintainers.",
    Reason.DECODE_TIMEOUT: "Decoding took too long. Read it by hand; a sane film decodes in under a second.",
    Reason.DECODE_MEMORY: "Decoding needed more memory than one film may use. Read it by hand.",
    Reason.PAYLOAD_DIGEST: "The stored bytes changed after acceptance. Check the spool's disk; read the film by hand.",
    Reason.NO_PIXEL_DATA: "The DICOM object holds no image. Send the image itself.",
    Reason.TRANSFER_SYNTAX: "Compressed in a way that is not judged (deflated, big endian, video). Send it transcoded.",
    Reason.SOP_CLASS: "Not a CR or DX image for presentation. Only plain radiographs are judged.",
    Reason.MODALITY: "Not CR or DX. Only plain radiographs are judged.",
    Reason.BODY_PART: "The header names another body part than the chest.",
    Reason.VIEW: "Not a frontal view. Only PA and AP films are judged; read it with its study.",
    Reason.AGE: "The patient is younger than the site's policy allows.",
    Reason.AGE_UNKNOWN: "The age is missing where the policy demands one, impossible, or contradicts the birth date.",
    Reason.PHOTOMETRIC: "A colour picture, not a gray radiograph.",
    Reason.MULTI_FRAME: "More than one frame; a radiograph has one.",
    Reason.FOR_PROCESSING: "Raw detector data. Send the image for presentation.",
    Reason.DERIVED: "A derived or secondary image. Send the original.",
    Reason.QUALITY_CONTROL: "A phantom or quality-control image.",
    Reason.TOO_SMALL: "Too few pixels to judge (under 64 a side).",
    Reason.TOO_LARGE: "More pixels than a radiograph has (over 6,000 a side or 25 million).",
    Reason.ASPECT: "Much longer than wide, or the reverse; not a whole chest.",
    Reason.INVERTED: "Header or pixels say that black and white are exchanged. Correct the source.",
    Reason.BLANK: "No picture: all pixels are almost equal.",
    Reason.OUT_OF_DISTRIBUTION: "Unlike the films that the model knows. Read it by hand.",
    Reason.DEADLINE: "Nobody scored it in time. Check the workers; read it by hand.",
    Reason.WORKER_CRASH: "Several workers died holding this film. Read it by hand and report it to the maintainers.",
    Reason.RETRIES_EXHAUSTED: "Repeated transient failures. Check memory, disk and GPU of the workers; then re-submit.",
    Reason.NON_FINITE: "The network answered no number. Read it by hand and report the bundle.",
    Reason.WITHDRAWN: "Withdrawn by its sender.",
}


class ModelError(Exception):
    """Root of this package's errors. The message never quotes pixels, names or DICOM values."""

    code: ClassVar[str] = "model_error"
    retryable: ClassVar[bool] = False


class ImageError(ModelError):
    """One film cannot be judged; ``reason`` is what its record will say."""

    code: ClassVar[str] = "image_error"

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[ImageError], tuple[Reason, str]]:
        return type(self), (self.reason, self.detail)


class UnsupportedFormat(ImageError):
    """The bytes start like none of DICOM Part 10, PNG or JPEG."""

    code: ClassVar[str] = "unsupported_format"


class CorruptImage(ImageError):
    """The format is known, but its header or its pixels cannot be read."""

    code: ClassVar[str] = "malformed_header"


class UnsuitableImage(ImageError):
    """A well-formed image that this product must not judge (CT, lateral, child, colour photograph ...)."""

    code: ClassVar[str] = "unsuitable_image"


class LateralView(UnsuitableImage):
    """A lateral film by all that its header says of the view: no doubt about it, so a scored frontal excuses it."""

    code: ClassVar[str] = "lateral_view"


class BundleError(ModelError):
    """The bundle cannot be served; the process ends at start."""

    code: ClassVar[str] = "bundle_error"


class BundleNotFound(BundleError):
    """No directory, or no manifest in it."""

    code: ClassVar[str] = "bundle_not_found"


class BundleCorrupt(BundleError):
    """A file is missing, differs from the digest in the manifest, or golden inputs score differently."""

    code: ClassVar[str] = "bundle_corrupt"


class BundleIncompatible(BundleError):
    """Unknown schema version, wrong inputs or outputs, external data or custom operators."""

    code: ClassVar[str] = "bundle_incompatible"


class InferenceError(ModelError):
    """The runtime failed; trying the same films again may help."""

    code: ClassVar[str] = "inference_error"
    retryable: ClassVar[bool] = True


class ProviderUnavailable(InferenceError):
    """A named execution provider did not become active. Never falls back silently."""

    code: ClassVar[str] = "provider_unavailable"
    retryable: ClassVar[bool] = False


class NonFiniteScore(InferenceError):
    """The network answered NaN or infinity."""

    code: ClassVar[str] = "non_finite"
    retryable: ClassVar[bool] = False
