from pathlib import Path

import pytest
from localcluster import cachefolder
from localcluster.errors import ClusterError


def test_a_marked_folder_may_be_removed_and_no_other(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cachefolder.mark(cache)
    cachefolder.mark(cache)
    cachefolder.check(cache)
    with pytest.raises(ClusterError, match="remove it by hand"):
        cachefolder.check(tmp_path)


def test_a_file_of_the_right_name_alone_is_no_mark(tmp_path: Path) -> None:
    (tmp_path / cachefolder.TAG).write_text("something else")
    with pytest.raises(ClusterError):
        cachefolder.check(tmp_path)
