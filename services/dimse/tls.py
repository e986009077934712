"""TLS as senders have to speak it (PS3.15 B.12: BCP 195), from files that the settings name."""

from __future__ import annotations

import ssl

from services.jobs.settings import DimseSettings, SettingsError


def tls_of(settings: DimseSettings) -> ssl.SSLContext | None:
    """Return how connections are encrypted; ``None`` where they are not.

    Raises
    ------
    SettingsError
        If a file is missing or unusable.
    """
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password=_no_password)
        if settings.tls_client_ca is not None:
            context.load_verify_locations(settings.tls_client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise SettingsError(f"CXR_DIMSE_TLS_*: a certificate, key or authority cannot be used: {reason}") from error
    return context


def _no_password() -> str:
    """Say that there is none: OpenSSL would ask the terminal, for ever where there is nobody."""
    raise ValueError("the key is encrypted")
