"""Films by dicomweb-client, from its POST to their outcomes."""

import httpx
import pytest
from dicomweb_client.api import DICOMwebClient

from tests.support.films import dicom_film, uid_of
from tests.support.stack import StackProcess
from tests.support.stow import read


@pytest.mark.parametrize("count", [1, 25])
def test_study_that_dicomweb_client_stores_is_scored(
    running_stack: StackProcess, client: httpx.Client, count: int
) -> None:
    study = uid_of("stored study", count)
    films = [dicom_film(seed=1000 * count + number, StudyInstanceUID=study) for number in range(count)]
    sender = DICOMwebClient(f"{running_stack.wait_ready()}/dicom-web")
    answer = sender.store_instances([read(film) for film in films], study_instance_uid=study)
    assert len(answer.ReferencedSOPSequence) == count
    running_stack.wait_idle()
    instances = client.get(f"/v1/studies/{study}").json()["instances"]
    assert len(instances) == count
    assert [one for one in instances if one["outcome"] not in ("flagged", "not_flagged")] == []
