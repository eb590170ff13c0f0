from pathlib import Path

import pytest
from localcluster.errors import ClusterError
from localcluster.paths import cache_dir, cluster_paths, state_dir


def test_folders_come_from_the_environment_or_the_home_folder() -> None:
    assert cache_dir({"MEMSYS_CACHE": "/big/cache"}) == Path("/big/cache")
    assert cache_dir({"HOME": "/home/a"}) == Path("/home/a/.cache/memsys")
    assert state_dir({"HOME": "/home/a", "MEMSYS_STATE": ""}) == Path("/home/a/.local/state/memsys")


@pytest.mark.parametrize("name", ["dev", "a", "memsys-test", "x" * 30, "0"])
def test_names_that_are_labels_are_taken(name: str) -> None:
    assert cluster_paths(name, Path("/s")).root == Path("/s") / name


@pytest.mark.parametrize("name", ["", "Dev", "-a", "a-", "a_b", "a/b", "..", "x" * 31])
def test_other_names_are_refused_and_quoted(name: str) -> None:
    with pytest.raises(ClusterError, match="expected at most 30 lower-case"):
        cluster_paths(name, Path("/s"))


def test_clusters_of_one_name_in_two_state_folders_share_nothing_machine_wide() -> None:
    one, other = cluster_paths("dev", Path("/s")), cluster_paths("dev", Path("/t"))
    assert one.identity != other.identity
    assert one.netns != other.netns
    assert one.run != other.run


def test_the_runtime_socket_fits_into_a_socket_address_however_deep_the_state_folder_is() -> None:
    paths = cluster_paths("x" * 30, Path("/" + "deep/" * 60))
    # The longest socket kubelet and containerd make below it is the folder's own name away from 107 bytes.
    assert len(str(paths.containerd_socket)) < 90
