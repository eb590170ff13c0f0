import io
import json
import tarfile
from collections.abc import Container
from pathlib import Path

import pytest
from localcluster import layout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    binary = tmp_path / "tool"
    binary.write_bytes(b"\x7fELF one")
    layout.add_scratch_image(tmp_path / "layout", "localhost/x:1", {"/tool": binary}, ["/tool"])
    return tmp_path / "layout"


def archive_of(folder: Path, name: str, present: Container[str] = ()) -> dict[str, bytes]:
    out = io.BytesIO()
    layout.write_archive(folder, name, out, present)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def test_an_archive_names_its_image_for_containerd_and_holds_every_blob(folder: Path) -> None:
    files = archive_of(folder, "localhost/x:1")
    entry = json.loads(files["index.json"])["manifests"][0]
    assert entry["annotations"][layout.CONTAINERD_NAME] == "localhost/x:1"
    manifest = json.loads(files["blobs/" + entry["digest"].replace(":", "/")])
    config = json.loads(files["blobs/" + manifest["config"]["digest"].replace(":", "/")])
    assert config["rootfs"]["diff_ids"] == [part["digest"] for part in manifest["layers"]]
    layer_bytes = files["blobs/" + manifest["layers"][0]["digest"].replace(":", "/")]
    with tarfile.open(fileobj=io.BytesIO(layer_bytes)) as layer:
        assert [(member.name, member.mode) for member in layer] == [("tool", 0o755)]


def test_blobs_that_the_receiver_has_are_left_out(folder: Path) -> None:
    everything = archive_of(folder, "localhost/x:1")
    blobs = {name for name in everything if name.startswith("blobs/")}
    present = {name.removeprefix("blobs/").replace("/", ":") for name in blobs}
    assert set(archive_of(folder, "localhost/x:1", present)) == set(everything) - blobs


def test_the_same_input_gives_the_same_digest_and_another_input_another(folder: Path, tmp_path: Path) -> None:
    before = layout.images(folder)
    layout.add_scratch_image(folder, "localhost/x:1", {"/tool": tmp_path / "tool"}, ["/tool"])
    assert layout.images(folder) == before
    (tmp_path / "tool").write_bytes(b"\x7fELF two")
    layout.add_scratch_image(folder, "localhost/x:1", {"/tool": tmp_path / "tool"}, ["/tool"])
    after = layout.images(folder)
    assert after.keys() == before.keys()
    assert after != before


def test_retaining_drops_other_images_and_the_blobs_nobody_needs(folder: Path, tmp_path: Path) -> None:
    kept = archive_of(folder, "localhost/x:1")
    (tmp_path / "tool").write_bytes(b"\x7fELF other")
    layout.add_scratch_image(folder, "localhost/y:1", {"/tool": tmp_path / "tool"}, ["/tool"])
    layout.retain(folder, ["localhost/x:1"])
    assert list(layout.images(folder)) == ["localhost/x:1"]
    assert archive_of(folder, "localhost/x:1") == kept
    assert len(list((folder / "blobs" / "sha256").iterdir())) == 3


def test_an_image_written_as_a_folder_is_taken_over_whole(folder: Path, tmp_path: Path) -> None:
    digest = layout.images(folder)["localhost/x:1"]
    manifest = folder / "blobs" / digest.replace(":", "/")
    export = tmp_path / "export"
    export.mkdir()
    (export / "manifest.json").write_bytes(manifest.read_bytes())
    for blob in manifest.parent.iterdir():
        if blob != manifest:
            (export / blob.name).write_bytes(blob.read_bytes())
    layout.adopt(tmp_path / "fresh", export, "localhost/z:1")
    assert layout.images(tmp_path / "fresh") == {"localhost/z:1": digest}
    assert archive_of(tmp_path / "fresh", "localhost/z:1").keys() == archive_of(folder, "localhost/x:1").keys()


def test_no_layout_has_no_images(tmp_path: Path) -> None:
    assert layout.images(tmp_path / "nothing") == {}
