"""The running gateway against its own OpenAPI document."""

import re
import subprocess
import sys
from pathlib import Path

from tests.support.gateway import environment
from tests.support.stack import StackProcess

_ROOT = Path(__file__).parents[2]
_EXAMPLES = 15
# A schema cannot say which bytes are a film, which digest is theirs, or which cursor was handed out, so requests that
# it allows may be refused. Everything else is checked: undeclared statuses, headers and types, 5xx, wrong methods.
# And a film that was deleted is withdrawn: its record stays and says so (docs/decisions/0026).
_EXCLUDED = "positive_data_acceptance,use_after_free"


def test_gateway_answers_as_its_document_says(running_stack: StackProcess, tmp_path: Path) -> None:
    url = running_stack.wait_ready()
    hooks = {"SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks", "PYTHONPATH": str(_ROOT)}
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json", "--checks", "all"),
        *("--exclude-checks", _EXCLUDED, "--max-examples", str(_EXAMPLES), "--generation-deterministic"),
        *("--continue-on-failure", "--no-color"),
    ]
    answer = subprocess.run(
        command, cwd=tmp_path, env=environment() | hooks, capture_output=True, text=True, timeout=280
    )
    assert answer.returncode == 0, answer.stdout[-6000:] + answer.stderr[-2000:]
    assert re.search(r"Selected: (\d+)/\1\b", answer.stdout), "every operation is tested"
    with running_stack.client() as client:
        answered = re.findall(r'route="([^"]+)",status="(\d+)"', client.get("/metrics").text)
    # Readiness is 503 for a moment after a start; nothing else provoked one.
    assert not {pair for pair in answered if pair[1].startswith("5") and pair[0] != "/health/ready"}
