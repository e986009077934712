"""What can stop delivery at its start, in one line. What a target does wrong is a verdict, never an error.

SettingsError
└── TargetsInvalid    the targets file is missing or wrong, or a credential that it names is

Without the extra [dicom], where a target takes objects, it is ``DicomExtraMissing`` of ``services.dicom``.
"""

from __future__ import annotations

from typing import ClassVar

from services.jobs.settings import SettingsError


class TargetsInvalid(SettingsError):
    """The targets file, or a credential that it names, is missing or wrong; the line says where."""

    code: ClassVar[str] = "targets_invalid"
