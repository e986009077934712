"""Settings that contradict each other stop the process before it serves anybody."""

from __future__ import annotations

import pytest

from services.jobs.settings import ApiSettings, SettingsError, load_settings


def test_a_queue_that_no_film_fits_into_is_refused_by_naming_both_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXR_API_QUEUE_BYTES", str(2 * 1024**2))
    with pytest.raises(SettingsError, match="CXR_API_QUEUE_BYTES must not be below CXR_API_MAX_PAYLOAD_BYTES"):
        load_settings(ApiSettings)
    monkeypatch.setenv("CXR_API_MAX_PAYLOAD_BYTES", str(1024**2))
    assert load_settings(ApiSettings).queue_bytes == 2 * 1024**2
