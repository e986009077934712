"""The running gateway against its own OpenAPI document."""

import re
import subprocess
import sys
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.support.gateway import environment
from tests.support.schemathesis_choices import CONFIGURATION
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
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    failed_before = server_errors(running_stack)
    answer = subprocess.run(
        command, cwd=tmp_path, env=environment() | hooks, capture_output=True, text=True, timeout=280
    )
    assert answer.returncode == 0, answer.stdout[-6000:] + answer.stderr[-2000:]
    assert re.search(r"Selected: (\d+)/\1\b", answer.stdout), "every operation is tested"
    assert server_errors(running_stack) == failed_before


def server_errors(stack: StackProcess) -> dict[str, float]:
    """Return how many requests of each route and status failed by the service's fault, but readiness, which may."""
    with stack.client() as client:
        samples = [
            sample
            for family in text_string_to_metric_families(client.get("/metrics").text)
            for sample in family.samples
            if sample.name == "cxr_http_request_duration_seconds_count"
        ]
    assert samples
    return {
        f"{sample.labels}": sample.value
        for sample in samples
        if sample.labels["status"].startswith("5") and sample.labels["route"] != "/health/ready"
    }
