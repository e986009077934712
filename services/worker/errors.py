"""What can stop a worker, beside a bad bundle (``model.errors``) or a bad setting (``services.jobs.settings``).

WorkerError
├── DecodingUnavailable    no decoding child can be started on this machine
└── SandboxUnavailable     the kernel cannot keep decoding children from network, programs and files
"""

from __future__ import annotations

from typing import ClassVar


class WorkerError(Exception):
    """Root of this package's errors; each ends the process at start, with one line."""

    code: ClassVar[str] = "worker_error"
    retryable: ClassVar[bool] = False


class DecodingUnavailable(WorkerError):
    """No decoding child became ready: a broken installation, or limits below what Python itself needs."""

    code: ClassVar[str] = "decoding_unavailable"


class SandboxUnavailable(WorkerError):
    """Seccomp filters are missing here, and the settings require them."""

    code: ClassVar[str] = "sandbox_unavailable"
