from pathlib import Path

from localcluster.mounts import mount_points, of_type, under

MOUNTINFO = r"""22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
31 22 0:27 / /sys/fs/cgroup/unified rw shared:3 master:4 - cgroup2 cgroup2 rw
40 22 0:50 / /s/dev/kubelet/a\040b rw - tmpfs tmpfs rw
41 40 0:51 / /s/dev/kubelet/a\040b/inner rw - tmpfs tmpfs rw
42 22 0:52 / /s/dev2/x rw - tmpfs tmpfs rw
"""


def test_mount_points_are_unescaped() -> None:
    assert "/s/dev/kubelet/a b" in mount_points(MOUNTINFO)


def test_the_innermost_mount_comes_first_and_a_neighbours_prefix_is_no_match() -> None:
    assert under(mount_points(MOUNTINFO), Path("/s/dev")) == ["/s/dev/kubelet/a b/inner", "/s/dev/kubelet/a b"]


def test_the_file_system_type_is_found_behind_optional_fields() -> None:
    assert of_type(MOUNTINFO, "cgroup2") == ["/sys/fs/cgroup/unified"]
    assert of_type(MOUNTINFO, "cgroup") == ["/sys/fs/cgroup/cpu"]
