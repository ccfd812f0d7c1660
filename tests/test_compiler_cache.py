"""Machine code on disk: found again, never anybody else's, never another program's, never a part of it."""

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import micrograd_like as mg
from micrograd_like import Value
from micrograd_like.compiler import native


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(native.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def tiny(cached: bool = True) -> float:
    p = Value(3.0)
    return mg.compile(lambda x: (p * x).exp(), [p], cached=cached, x=())([0.5, 0.25])


def test_machine_code_is_kept_on_disk_and_a_broken_file_is_replaced(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = tiny()
    files = sorted(cache.iterdir())
    assert files
    whole = [f.read_bytes() for f in files]
    monkeypatch.setattr(native, "machine_code", None)  # nothing is compiled a second time
    assert tiny() == loss
    monkeypatch.undo()
    monkeypatch.setenv(native.CACHE_VARIABLE, str(cache))
    for f, content in zip(files, whole, strict=True):
        f.write_bytes(content[: len(content) // 2])
    assert tiny() == loss
    for f, content in zip(files, whole, strict=True):
        assert f.read_bytes() == content
        f.write_bytes(b"not ours")
    assert tiny() == loss


def test_a_program_without_a_pattern_is_found_in_the_cache_too(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def irregular() -> float:
        rng = random.Random(3)
        p = [Value(rng.random()) for _ in range(9)]

        def function(x: Any) -> Any:
            v = [*x, *p]
            for _ in range(1500):
                v.append((v[-1 - rng.randrange(9)] * v[rng.randrange(len(v))]).tanh())
            return mg.mean(v[-300:])

        program = mg.compile(function, p, x=3)
        assert "without a pattern" in str(program)
        return program([[0.1, 0.2, 0.3]])

    loss = irregular()
    monkeypatch.setattr(native, "machine_code", None)  # nothing is compiled a second time
    assert irregular() == loss


def test_the_cache_can_be_switched_off_and_need_not_be_writable(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loss = tiny(cached=False)
    assert not cache.exists()
    cache.write_text("a file where the folder should be")
    assert tiny() == loss
    monkeypatch.delenv(native.CACHE_VARIABLE)
    assert native.cache_folder() is not None
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    monkeypatch.setattr(sys, "platform", "linux")
    assert native.cache_folder() == Path("/somewhere/micrograd_like")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert str(native.cache_folder()).endswith("Library/Caches/micrograd_like")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    assert native.cache_folder() is None


def test_without_a_home_there_is_no_cache_and_a_tilde_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as where no home is known
    monkeypatch.delenv(native.CACHE_VARIABLE)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert native.cache_folder() is None
    monkeypatch.setenv(native.CACHE_VARIABLE, "~/code")
    assert native.cache_folder() is None
    monkeypatch.undo()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv(native.CACHE_VARIABLE, "~/code")
    assert native.cache_folder() == Path("/home/ada/code")
    monkeypatch.delenv(native.CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert native.cache_folder() == Path("/home/ada/.cache/micrograd_like")


def test_a_new_folder_is_its_users_alone(cache: Path) -> None:
    tiny()
    assert cache.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in cache.iterdir()} == {0o600}


@pytest.fixture
def kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """A cache with the code of `tiny`; the function runs it again, and tells whether it was taken from the cache."""
    loss, made, make = tiny(), [], native.machine_code

    def counted(*args: Any) -> bytes:
        made.append(args)
        return make(*args)

    monkeypatch.setattr(native, "machine_code", counted)

    def again() -> bool:
        made.clear()
        assert tiny() == loss
        return not made

    assert again()
    return again


def files(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.o"))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.3, 0.7, 0.99, 0.9999])
def test_a_file_that_was_cut_off_is_not_used(cache: Path, kept: Callable[[], bool], share: float) -> None:
    for file in files(cache):
        content = file.read_bytes()
        file.write_bytes(content[: int(share * len(content))])
    assert not kept()
    assert kept()  # it was made again


@pytest.mark.parametrize("place", [0, 15, 29, 30, 45, 61, 62, 100, 700, -300, -1])
@pytest.mark.parametrize("bit", [0, 7])
def test_a_file_with_another_bit_is_not_used(cache: Path, kept: Callable[[], bool], place: int, bit: int) -> None:
    for file in files(cache):
        content = bytearray(file.read_bytes())
        content[place] ^= 1 << bit
        file.write_bytes(content)
    assert not kept()
    assert kept()  # it was made again


def test_code_under_another_programs_name_is_not_used(cache: Path, kept: Callable[[], bool]) -> None:
    names = files(cache)
    assert len(names) == 2
    contents = [file.read_bytes() for file in names]
    for file, content in zip(names, contents[::-1], strict=True):
        file.write_bytes(content)
    assert not kept()
    assert kept()  # it was made again


needs_owners = pytest.mark.skipif(os.open not in os.supports_dir_fd, reason="files have no owners here")


@needs_owners
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o707])
def test_a_folder_that_others_may_write_to_is_not_used(cache: Path, kept: Callable[[], bool], mode: int) -> None:
    before = [file.stat().st_mtime_ns for file in files(cache)]
    cache.chmod(mode)
    assert not kept()
    assert [file.stat().st_mtime_ns for file in files(cache)] == before


@needs_owners
@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602])
def test_a_file_that_others_may_write_to_is_not_used(cache: Path, kept: Callable[[], bool], mode: int) -> None:
    for file in files(cache):
        file.chmod(mode)
    assert not kept()
    assert kept()  # it was made again


@needs_owners
def test_another_users_file_is_not_used(cache: Path, kept: Callable[[], bool], monkeypatch: pytest.MonkeyPatch) -> None:
    if os.getuid() == 0:
        for file in files(cache):
            os.chown(file, 12345, -1)
        assert not kept()
    monkeypatch.setattr(os, "getuid", lambda: 54321)  # now all of it is another user's
    assert not kept()


@needs_owners
def test_a_link_and_a_pipe_are_not_used(cache: Path, kept: Callable[[], bool], tmp_path: Path) -> None:
    first, second = files(cache)
    (tmp_path / "elsewhere").write_bytes(first.read_bytes())
    first.unlink()
    first.symlink_to(tmp_path / "elsewhere")
    second.unlink()
    os.mkfifo(second)
    assert not kept()
    assert kept()  # it was made again


@needs_owners
def test_what_was_looked_at_is_what_is_read(
    cache: Path, kept: Callable[[], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another file is put in the place of one that was found right, before that is read."""
    check = native._check_owner
    swapped = []

    def look_and_swap(status: os.stat_result) -> None:
        check(status)
        for file in files(cache):
            evil = file.with_suffix(".evil")
            evil.write_bytes(native._head(file.stem, b"evil") + b"evil")  # its hash is right: only its owner is not
            evil.chmod(0o666)
            os.replace(evil, file)
            swapped.append(file)

    monkeypatch.setattr(native, "_check_owner", look_and_swap)
    kept()  # the loss is right: neither a crash nor the other code
    assert swapped


@needs_owners
def test_a_full_disk_is_no_error_and_leaves_no_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = tmp_path / "full"
    full.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k,mode=700", "none", full], capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        (full / "filler").write_bytes(b"x" * 4000)
        monkeypatch.setenv(native.CACHE_VARIABLE, str(full))
        assert tiny() == tiny(cached=False)
        whole = [file for file in full.iterdir() if file.name != "filler"]
        assert all(file.suffix == ".o" for file in whole)
        assert tiny() == tiny(cached=False)
    finally:
        subprocess.run(["umount", full], check=True)


def test_a_disk_that_fills_up_while_code_is_written_leaves_no_parts(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert tiny() == tiny(cached=False)
    assert list(cache.iterdir()) == []


def test_twenty_processes_share_a_cache(cache: Path) -> None:
    script = """
import micrograd_like as mg
for k in range(3):
    p = mg.Value(float(k))
    print(mg.compile(lambda x: (p * x + k).tanh(), [p], x=()).gradient([0.5, 2.0]))
"""
    run = lambda: subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)  # noqa: E731
    answers = {process.communicate()[0] for process in [run() for _ in range(20)]}
    assert len(answers) == 1
    assert answers.pop().count("array") == 3
    assert all(file.suffix == ".o" for file in cache.iterdir())
