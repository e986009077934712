"""Results of real radiographs: whatever their headers hold, a result is made and read back, or it is clear why not."""

from __future__ import annotations

import io

import pytest
from pydicom import dcmread

from services.dicom.files import overlay_file, rejection_file, report_file
from tests.support.results import done_record, kept_pictures, past_decision, reportable_films


# Some real UIDs have components with leading zeros. They are repeated as they are, for nothing else would find the
# study; pydicom warns, and our logs withhold what it says.
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_every_real_radiograph_that_can_be_repeated_has_all_results() -> None:
    pictures, past = kept_pictures(64, 64), [past_decision()]
    sources = reportable_films()
    assert len(sources) >= 10
    for path, source in sources.items():
        note = rejection_file(done_record(), source, past)
        assert note is not None
        results = (
            report_file(done_record(), source, past),
            overlay_file(done_record(), source, *pictures, commit=1),
            note,
        )
        original = dcmread(path, stop_before_pixels=True)
        for content in results:
            result = dcmread(io.BytesIO(content))
            assert result.StudyInstanceUID == original.StudyInstanceUID, path.name
            assert result.PatientID == (original.get("PatientID") or ""), path.name
            assert str(result.PatientName) == str(original.get("PatientName") or ""), path.name
            assert (result.get("PatientSex") or "") in ("", "F", "M", "O"), path.name
