from __future__ import annotations

import pytest
from pydantic import SecretStr

from services.delivery.signing import signed_headers, signing_key

# The reference vector of Standard Webhooks' own test suites.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"


def test_signature_is_that_of_the_specifications_own_vector() -> None:
    headers = signed_headers(
        signing_key(SecretStr(SECRET)),
        message_id=MESSAGE_ID,
        timestamp_seconds=1614265330,
        body=b'{"test": 2432232314}',
    )
    assert headers == {
        "webhook-id": MESSAGE_ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize(
    "secret",
    [
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",  # no prefix
        "whsec_c2hvcnQ=",  # 5 bytes
        "whsec_" + "A" * 100,  # 75 bytes
        "whsec_not base64 at all, whatever its length",
        "whsec_häßlich",
        "",
    ],
)
def test_what_is_no_secret_is_refused_without_being_quoted(secret: str) -> None:
    with pytest.raises(ValueError, match="must be whsec_ and 24 to 64 random bytes in base64") as refusal:
        signing_key(SecretStr(secret))
    assert not secret or secret not in str(refusal.value)
