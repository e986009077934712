"""The examples of docs/api.md, run as they stand."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.films import dicom_film, png_film
from tests.support.gateway import environment
from tests.support.stack import StackProcess
from tests.support.tools import require_tools

_PAGE = Path(__file__).parents[2] / "docs" / "api.md"
_EXAMPLES = re.findall(r"^```sh\n(.*?)^```", _PAGE.read_text(), re.MULTILINE | re.DOTALL)
_TOOLS = ("bash", "curl", "openssl", "base64", "python3")


@pytest.mark.parametrize(
    ("number", "example"), list(enumerate(_EXAMPLES)), ids=[f"example-{number}" for number in range(len(_EXAMPLES))]
)
def test_example_of_the_page_works(running_stack: StackProcess, tmp_path: Path, number: int, example: str) -> None:
    require_tools(*_TOOLS)
    # Films of its own: what one example takes back stays withdrawn for all that send it again.
    (tmp_path / "film.png").write_bytes(png_film(seed=200 + number))
    (tmp_path / "film.dcm").write_bytes(dicom_film(seed=200 + number))
    settings = environment() | {"URL": running_stack.wait_ready()}
    running_stack.wait_idle()  # an open film changes the worklist, and its ETag, between two requests
    command = ["bash", "-euo", "pipefail", "-c", example]
    answer = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True, timeout=240)
    assert answer.returncode == 0, answer.stderr
    problems = set(re.findall(r'"code":"(\w+)"', answer.stdout))
    assert problems <= {"unsupported_media_type"}, answer.stdout
    if "If-None-Match" in example:
        assert answer.stdout.rstrip().endswith("304")
