import re
from pathlib import Path

import pytest
from imagebuilder.catalog import BASES, IMAGES, Image, build_arguments, image_key, needed

ROOT = Path(__file__).resolve().parents[3]
API = next(image for image in IMAGES if image.name == "memsys-api")
FILES = {"api/src/a.py": b"-1", "api/requirements.txt": b"-2"}


def test_the_key_follows_files_and_bases() -> None:
    keys = {
        image_key(API, FILES, {}),
        image_key(API, {**FILES, "api/src/a.py": b"-other"}, {}),
        image_key(API, {"api/src/b.py": b"-1", "api/requirements.txt": b"-2"}, {}),
        image_key(API, FILES, {"PYTHON_BASE": "k1"}),
        image_key(API, FILES, {"PYTHON_BASE": "k2"}),
    }
    assert len(keys) == 5
    assert image_key(API, FILES, {}) == image_key(API, dict(reversed(FILES.items())), {})


def test_on_upstream_bases_nothing_else_is_built_and_no_argument_given() -> None:
    assert needed([API], own_bases=False) == [API]
    assert build_arguments(API, {}) == []


def test_on_own_bases_each_comes_before_what_stands_on_it() -> None:
    names = [image.name for image in needed([API], own_bases=True)]
    assert names == ["base-debian", "base-python", "base-python-build", "memsys-api"]
    order = [image.name for image in needed(IMAGES, own_bases=True)]
    for image in (*BASES, *IMAGES):
        for base in image.bases.values():
            assert order.index(base) < order.index(image.name)


@pytest.mark.parametrize("image", [*BASES, *IMAGES], ids=lambda image: image.name)
def test_each_containerfile_declares_exactly_the_base_arguments_of_the_catalogue(image: Image) -> None:
    text = (ROOT / image.containerfile).read_text()
    declared = set(re.findall(r"^ARG (\w+)", text, re.MULTILINE))
    assert declared == set(image.bases)
    if not image.is_base:
        defaults = dict(re.findall(r"^ARG (\w+)=(\S+)", text, re.MULTILINE))
        assert declared == set(defaults), "every base has an upstream default"


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_what_a_containerfile_copies_is_part_of_the_key(image: Image) -> None:
    text = (ROOT / image.containerfile).read_text().replace("\\\n", " ")
    for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE):
        words = [word for word in line.split() if not word.startswith("--chmod")]
        if words[0].startswith("--from="):
            continue
        for source in words[:-1]:
            assert any(source == entry or source.startswith(f"{entry}/") for entry in image.inputs), source


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_every_image_ends_as_the_unprivileged_user(image: Image) -> None:
    users = re.findall(r"^USER (.+)$", (ROOT / image.containerfile).read_text(), re.MULTILINE)
    assert users[-1] == "10001:10001"
