"""The program where its installation lacks what it stands on."""

import subprocess
import sys

from tests.support.gateway import environment

_WITHOUT_PYNETDICOM = """
import sys

sys.modules['pynetdicom'] = None
from services.dimse.__main__ import main

sys.exit(main())
"""


def test_without_the_extra_there_is_one_line_that_names_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_PYNETDICOM], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("cxr-triage dimse: dicom_extra_missing: ")
    assert done.stderr.count("\n") == 1
    assert "cxr-triage[dicom]" in done.stderr
