from __future__ import annotations

from pathlib import Path

import pytest

from model.decision import Outcome
from services.delivery.errors import TargetsInvalid
from services.delivery.targets import CStoreTarget, ObjectKind, StowTarget, WebhookTarget, read_targets

WHOLE = """
[[target]]
name = "pacs"
kind = "stow"
address = "https://pacs.example:8443/dicom-web/"
user = "cxr"
password = { file = "/run/secrets/pacs" }
outcomes = ["flagged"]

[[target]]
name = "archive"
kind = "cstore"
address = "[::1]:11112"
called_ae_title = "ARCHIVE"
objects = ["report"]

[[target]]
name = "hook"
kind = "webhook"
address = "http://127.0.0.1:9000/hook"
secret = { env = "HOOK_SECRET" }
sites = ["icu"]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "targets.toml"


def test_a_file_names_targets_of_each_kind(path: Path) -> None:
    path.write_text(WHOLE)
    pacs, archive, hook = read_targets(path)
    assert isinstance(pacs, StowTarget)
    assert pacs.address == "https://pacs.example:8443/dicom-web"
    assert pacs.outcomes == {Outcome.FLAGGED}
    assert isinstance(archive, CStoreTarget)
    assert (archive.host, archive.port, archive.objects) == ("::1", 11112, {ObjectKind.REPORT})
    assert archive.outcomes == set(Outcome)
    assert isinstance(hook, WebhookTarget)
    assert hook.wants("icu")
    assert not hook.wants("ward")


def stow(line: str) -> str:
    return f'[[target]]\nname = "pacs"\nkind = "stow"\n{line}\n'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "target: Field required"),
        ("[[target", "Expected"),
        ('[[target]]\nname = "x"\nkind = "ftp"', "does not match any of the expected tags"),
        (stow('address = "ftp://pacs"'), "target.0.address: Value error, must be http:// or https://"),
        (stow('address = "http://SECRET:SECRET@pacs/"'), "target.0.address: Value error, must be http://"),
        (stow('address = "http://pacs/?token=SECRET"'), "target.0.address: Value error, must be http://"),
        (stow('address = "https://pacs"\npasword = "SECRET"'), "target.0.pasword: Extra inputs are not permitted"),
        (stow('address = "https://pacs"\nuser = "u"\npassword = "SECRET"'), "target.0.password: Input should be"),
        (stow('address = "https://pacs"\nuser = "u"'), "`user` and `password` belong together"),
        (stow('address = "http://pacs"\ntoken = {file = "/t"}'), "credentials need https://"),
        (stow('address = "https://pacs"\ntoken = {file = "/t", env = "T"}'), "exactly one of `file` and `env`"),
        (stow('address = "https://pacs"\ntoken = {env = "CXR_TOKEN"}'), "choose another name"),
        (stow('address = "https://pacs"') * 2, "two targets have one name"),
        ('[[target]]\nname = "Pacs 1"\nkind = "cstore"\naddress = "h:1"\ncalled_ae_title = "A"', "target.0.name"),
        ('[[target]]\nname = "a"\nkind = "cstore"\naddress = "h:99999"\ncalled_ae_title = "A"', "must be host:port"),
        (
            '[[target]]\nname = "a"\nkind = "cstore"\naddress = "h:1"\ncalled_ae_title = "12345678901234567"',
            "called_ae",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line_that_quotes_no_value(path: Path, text: str, line: str) -> None:
    path.write_text(text)
    with pytest.raises(TargetsInvalid) as refusal:
        read_targets(path)
    assert line in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "SECRET" not in str(refusal.value)


def test_a_file_that_is_missing_or_no_text_is_one_line(path: Path) -> None:
    with pytest.raises(TargetsInvalid, match="No such file"):
        read_targets(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(TargetsInvalid, match="not UTF-8"):
        read_targets(path)
    with pytest.raises(TargetsInvalid, match="CXR_DELIVERY_TARGETS_FILE"):
        read_targets(None)


def test_a_credential_is_read_from_its_file_or_variable_and_never_shown(tmp_path: Path, path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    path.write_text(WHOLE.replace("/run/secrets/pacs", str(tmp_path / "password")))
    pacs, _, hook = read_targets(path)
    assert isinstance(pacs, StowTarget)
    assert pacs.password is not None
    password = pacs.password.read()
    assert password.get_secret_value() == "hunter2"
    assert "hunter2" not in repr((pacs, password))
    assert isinstance(hook, WebhookTarget)
    assert hook.secret.read({"HOOK_SECRET": "whsec_x"}).get_secret_value() == "whsec_x"
    with pytest.raises(ValueError, match="the variable HOOK_SECRET holds no credential"):
        hook.secret.read({})
