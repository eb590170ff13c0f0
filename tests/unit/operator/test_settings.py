from __future__ import annotations

import pytest

from memsys_operator.settings import Settings
from memsys_operator.spec import Images


def test_defaults_are_the_published_images_of_this_version() -> None:
    assert Settings.from_env({}).image(Images(), "api") == "ghcr.io/memsys/memsys-api:0.1.0"


def test_one_registry_serves_all_images() -> None:
    settings = Settings.from_env({"MEMSYS_IMAGE_REGISTRY": "mirror.test/a/", "MEMSYS_IMAGE_TAG": "2"})
    assert settings.image(Images(), "neo4j") == "mirror.test/a/memsys-neo4j:2"


def test_the_spec_overrides_image_policy_and_secrets() -> None:
    settings = Settings.from_env({"MEMSYS_IMAGE_PULL_SECRETS": "a, b", "MEMSYS_IMAGE_PULL_POLICY": "Never"})
    assert settings.pull_secrets(Images()) == [{"name": "a"}, {"name": "b"}]
    assert settings.pull_policy(Images()) == "Never"
    images = Images.model_validate({"api": "own/api:3", "pullPolicy": "Always", "pullSecrets": [{"name": "c"}]})
    assert settings.image(images, "api") == "own/api:3"
    assert settings.pull_policy(images) == "Always"
    assert settings.pull_secrets(images) == [{"name": "c"}]


def test_namespaces_are_a_list_and_none_means_all() -> None:
    assert Settings.from_env({"MEMSYS_WATCH_NAMESPACES": "a,b"}).watch_namespaces == ("a", "b")
    assert Settings.from_env({"MEMSYS_WATCH_NAMESPACES": ""}).watch_namespaces == ()


@pytest.mark.parametrize("value", ["soon", "0", "-5"])
def test_a_number_that_is_none_is_refused_by_name(value: str) -> None:
    with pytest.raises(ValueError, match="MEMSYS_RESYNC_SECONDS"):
        Settings.from_env({"MEMSYS_RESYNC_SECONDS": value})
