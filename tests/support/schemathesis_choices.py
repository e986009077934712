"""What schemathesis is told of the contract's own choices, whoever runs it."""

from __future__ import annotations

from typing import Final

# 428 is what a missing If-Match is for (RFC 6585 §3); schemathesis does not expect it.
# A gateway's first report imports what makes reports, which can take a loaded machine longer than 10 s.
CONFIGURATION: Final = """
request-timeout = 120

[checks]
missing_required_header.expected-statuses = [400, 401, 403, 406, 415, 422, 428]
"""
