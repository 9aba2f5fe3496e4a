"""isoform.integrity: what is parsed is what was hashed, and a file is whole or not there."""

import contextlib
import hashlib
import os
import resource
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from isoform.errors import BadInput, CheckFailed
from isoform.integrity import open_verified, read_bytes, sha256, write_atomic


def test_sha256_is_the_one_of_hashlib() -> None:
    assert sha256(b"abc") == hashlib.sha256(b"abc").hexdigest()


def test_a_matching_file_is_returned_whole(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(bytes(range(256)) * 1000)
    assert open_verified(path, sha256(path.read_bytes())) == path.read_bytes()


@pytest.mark.parametrize("position", [0, 500, -1])
def test_a_flipped_byte_is_refused(tmp_path: Path, position: int) -> None:
    path, data = tmp_path / "model", bytearray(b"x" * 1000)
    expected = sha256(bytes(data))
    data[position] ^= 1
    path.write_bytes(data)
    with pytest.raises(
        CheckFailed, match=r"sha256 is .*…, metadata.json says .*…; run 'dvc checkout --force', or 'dvc pull --force'"
    ) as caught:
        open_verified(path, expected)
    assert caught.value.where == str(path)


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: b""])
def test_a_cut_or_grown_file_is_refused(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "model"
    path.write_bytes(change(b"x" * 1000))
    with pytest.raises(CheckFailed):
        open_verified(path, sha256(b"x" * 1000))


def test_a_missing_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file; run 'dvc pull'"):
        read_bytes(tmp_path / "absent")


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"x")
    (tmp_path / "link").symlink_to("target")
    with pytest.raises(BadInput, match="cannot be opened"):
        read_bytes(tmp_path / "link")


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match="is not a regular file"):
        read_bytes(tmp_path / "pipe")


@pytest.mark.parametrize("path", [Path("/dev/zero"), Path("/")])
def test_a_device_and_a_folder_are_refused(path: Path) -> None:
    with pytest.raises(BadInput, match="is not a regular file"):
        read_bytes(path)


def test_a_path_with_nul_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is no path of a file"):
        read_bytes(tmp_path / "a\0b")


def test_a_file_over_the_limit_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(BadInput, match=f"holds {1 << 40} bytes"):
        read_bytes(path)
    path.write_bytes(b"12345")
    assert read_bytes(path, max_bytes=5) == b"12345"
    with pytest.raises(BadInput, match="holds 5 bytes, the limit is 4"):
        read_bytes(path, max_bytes=4)


def test_a_written_file_holds_the_data_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    write_atomic(path, b"one")
    write_atomic(path, "dvě\n")
    assert path.read_bytes() == "dvě\n".encode()
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_a_written_file_is_readable_by_all_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        write_atomic(tmp_path / "file", b"x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_a_link_is_replaced_and_what_it_names_is_kept(tmp_path: Path) -> None:
    # DVC may link a workspace file to its cache: writing through the link would spoil the cache.
    (tmp_path / "cached").write_bytes(b"cached")
    (tmp_path / "file").symlink_to("cached")
    write_atomic(tmp_path / "file", b"new")
    assert (tmp_path / "cached").read_bytes() == b"cached"
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_hard_link_to_the_old_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"cached")
    os.link(tmp_path / "file", tmp_path / "cached")
    write_atomic(tmp_path / "file", b"new")
    assert (tmp_path / "cached").read_bytes() == b"cached"


@contextlib.contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """Let writes past `size_bytes` fail, as they do on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    with file_size_limit(1000), pytest.raises(BadInput, match=r"file: cannot be written \(File too large\)"):
        write_atomic(path, b"new" * 1000)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_text_that_is_not_unicode_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(path, "\ud800")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    path, versions = tmp_path / "file", [bytes([i]) * 200_000 for i in range(2)]
    write_atomic(path, versions[0])
    ended, seen = threading.Event(), set()

    def read() -> None:
        while not ended.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(60):
        write_atomic(path, versions[i % 2])
    ended.set()
    reader.join()
    assert seen <= set(versions)


def test_what_a_killed_write_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    for left in (".model.onnx.abc123.tmp", ".model.onnx.data.abc123.tmp", ".model.pt.abc123.tmp"):
        (tmp_path / left).write_bytes(b"half")
    write_atomic(tmp_path / "model.onnx", b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".model.pt.abc123.tmp", "model.onnx"]


def test_the_temporary_file_of_a_writer_that_lives_is_left_alone(tmp_path: Path) -> None:
    import fcntl

    with (tmp_path / ".model.onnx.abc123.tmp").open("wb") as living:
        fcntl.flock(living, fcntl.LOCK_EX)
        write_atomic(tmp_path / "model.onnx", b"whole")
        assert len(list(tmp_path.iterdir())) == 2


def test_writers_of_one_file_do_not_take_each_others_temporary_files(tmp_path: Path) -> None:
    def write() -> None:
        for number in range(150):
            write_atomic(tmp_path / "model", bytes([number]) * 100)

    failures: list[BaseException] = []

    def watched() -> None:
        try:
            write()
        except OSError as error:
            failures.append(error)

    writers = [threading.Thread(target=watched) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failures == []
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
