import pytest
from localcluster.providers import is_outdated

NAME = "localhost/memsys/memsys-api:0.1.0"
CURRENT = {NAME: "sha256:" + "a" * 64}


@pytest.mark.parametrize(
    ("image", "image_id", "outdated"),
    [
        (NAME, "sha256:" + "a" * 64, False),
        (NAME, "localhost/memsys/memsys-api@sha256:" + "a" * 64, False),
        (NAME, "sha256:" + "b" * 64, True),
        (NAME, "", False),  # not started yet: it will start the current build
        ("other/image:1", "sha256:" + "b" * 64, False),
    ],
)
def test_a_pod_is_outdated_when_it_runs_another_build(image: str, image_id: str, outdated: bool) -> None:
    assert is_outdated({"image": image, "imageID": image_id}, CURRENT) is outdated
