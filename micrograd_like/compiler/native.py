"""Stage 12, native: LLVM's text to machine code for this computer, kept in a cache on disk."""

from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
import math
import os
import platform
import stat
import struct
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from micrograd_like.compiler import host
from micrograd_like.compiler.host import llvm
from micrograd_like.compiler.machine import LIBRARY

CACHE_VARIABLE = "MICROGRAD_LIKE_CACHE"  # the cache's folder; "off" for no cache
_MAGIC = b"micrograd_like machine code 2\n"
_lock = threading.RLock()


def _llvm_version() -> str:
    return ".".join(map(str, llvm().llvm_version_info))


class Fingerprint(NamedTuple):
    """What the last bits of a program's numbers depend on besides the program: equal ones compute equal bits."""

    architecture: str
    width: int  # doubles of a vector
    fused: bool  # whether a product and a sum are rounded once
    llvm: str
    compiler: str  # a hash of this package's compiler
    library: str  # a hash of what the C library's functions return at some hundred points

    def differences(self, other: Fingerprint) -> list[str]:
        """What differs, each as "width: 8 and 4"."""
        return [f"{name}: {x} and {y}" for name, x, y in zip(self._fields, self, other, strict=True) if x != y]


def fingerprint(lanes: int | None = None) -> Fingerprint:
    """What the last bits depend on here, for vectors of so many doubles; None for this processor's."""
    here = platform.machine().lower(), lanes or host.width(), host.fused()
    return Fingerprint(*here, _llvm_version(), _sources()[:16], _library_bits())


@cache
def _library_bits() -> str:
    points = [(-1) ** k * 1.07**k / 50 for k in range(100)]
    values = [f(x) for f in (math.sin, math.cos, math.tanh) for x in points]
    values += [math.log1p(abs(x)) for x in points] + [
        math.pow(abs(x), y) for x, y in zip(points, points[::-1], strict=True) if abs(y) < 9
    ]
    return hashlib.sha256(struct.pack(f"<{len(values)}d", *values)).hexdigest()[:16]


def _new_machine() -> Any:
    cpu, features = host.processor()
    target = llvm().Target.from_default_triple()
    return target.create_target_machine(cpu=cpu, features=features, opt=2, reloc="pic", codemodel="default", jit=True)


_machine = cache(_new_machine)


@cache
def _library() -> dict[str, int]:
    """The addresses of the C library's functions, as the interpreter itself uses them."""
    handle = ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None)
    if not hasattr(handle, "tanh"):
        handle = ctypes.CDLL(ctypes.util.find_library("m"))
    functions = {name: getattr(handle, name) for name in LIBRARY}
    windows = sys.platform == "win32"
    functions["yield"] = ctypes.CDLL("kernel32").SwitchToThread if windows else ctypes.CDLL(None).sched_yield
    return {name: ctypes.cast(function, ctypes.c_void_p).value or 0 for name, function in functions.items()}


def machine_code(text: str, optimize: bool) -> bytes:
    """The object file of a module.

    The text is written as it should be; LLVM's optimizer, which takes longer than all else, is for single lanes, where
    it finds vectors along the loops.
    """
    binding = llvm()
    with _lock:
        module = binding.parse_assembly(text)
        module.triple = _machine().triple
        module.data_layout = str(_machine().target_data)
        owned = [module]
        if optimize:
            options = binding.create_pipeline_tuning_options(speed_level=2)
            options.loop_vectorization = options.slp_vectorization = True
            builder = binding.create_pass_builder(_machine(), options)
            passes = builder.getModulePassManager()
            passes.run(module, builder)
            owned = [passes, builder, options, module]
        code: bytes = _machine().emit_object(module)
        for each in owned:
            each.close()
        return code


def verify(text: str) -> None:
    """Let LLVM look whether a module is well formed. Raises RuntimeError where it is not."""
    with _lock:
        llvm().parse_assembly(text).verify()


def assembly(text: str) -> str:
    """A module in this processor's instructions, for a reader."""
    with _lock:
        instructions: str = _machine().emit_assembly(llvm().parse_assembly(text))
        return instructions


class Loaded:
    """Machine code in memory; freed with this object."""

    def __init__(self, code: bytes, symbol: str) -> None:
        binding = llvm()
        with _lock:
            for name, place in _library().items():
                binding.add_symbol(f"library_{name}", place)
            self._engine = binding.create_mcjit_compiler(
                binding.parse_assembly(""), _new_machine()
            )  # which it then owns
            self._engine.add_object_file(binding.ObjectFileRef.from_data(code))
            self._engine.finalize_object()
        self.address = self.find(symbol)

    def find(self, symbol: str) -> int:
        """The address of a function. Raises RuntimeError for one that is not there."""
        address: int = self._engine.get_function_address(symbol)
        if not address:
            raise RuntimeError(f"the machine code has no function {symbol!r}")
        return address


def load(key: str, symbol: str, make: Callable[[], bytes], cached: bool) -> Loaded:
    """The code for a key: from the cache where it is there and whole, else made, and then kept."""
    folder = cache_folder() if cached else None
    if folder is not None and (code := _read(folder, key)) is not None:
        with suppress(RuntimeError):
            return Loaded(code, symbol)
    code = make()
    if folder is not None:
        _write(folder, key, code)
    return Loaded(code, symbol)


def digest(*texts: str) -> str:
    """The name of machine code: a hash of what it is made from, of who made it, and of the processor."""
    everything = "\0".join((*texts, _sources(), _llvm_version(), *host.processor()))
    return hashlib.sha256(everything.encode()).hexdigest()


@cache
def _sources() -> str:
    """A hash of the compiler itself, so that code of another version is never used."""
    folder = Path(__file__).parent
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))).hexdigest()


def cache_folder() -> Path | None:
    """Where machine code is kept; None when the cache is switched off, or where there is no home to keep it in.

    `XDG_CACHE_HOME` counts where it is absolute, as its specification says.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen is not None:
        return None if chosen.lower() in ("off", "0", "") else _known(os.path.expanduser(chosen))
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "")
    elif sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
        if not os.path.isabs(base):
            base = os.path.expanduser("~/.cache")
    return _known(os.path.join(base, "micrograd_like")) if os.path.isabs(base) else None


def _known(path: str) -> Path | None:
    """The path; None where its user has no home, so that it still begins with a tilde."""
    return None if path.startswith("~") else Path(path)


def _read(folder: Path, key: str) -> bytes | None:
    """The code in a file; None for one that is not there, that another user could have written, or that is not whole.

    Code is run, so that folder and file are opened once, and what is open is looked at and read: no path is followed
    a second time. A file holds a hash of its key and its code, so that no other program's code passes for this one's.
    """
    try:
        with _opened(folder) as place:
            content = _content(place, folder, f"{key}.o")
    except OSError:
        return None
    start = len(_MAGIC) + 32
    return content[start:] if content[:start] == _head(key, content[start:]) else None


def _head(key: str, code: bytes) -> bytes:
    return _MAGIC + hashlib.sha256(_MAGIC + key.encode() + b"\0" + code).digest()


@contextmanager
def _opened(folder: Path) -> Iterator[int | None]:
    """A descriptor of the folder, found to be this user's alone; None where the system has no such thing.

    Raises OSError where it is not there, or others may write to it.
    """
    if os.open not in os.supports_dir_fd:
        yield None
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _check_owner(os.fstat(descriptor))
        yield descriptor
    finally:
        os.close(descriptor)


def _content(place: int | None, folder: Path, name: str) -> bytes:
    """What is in a file of the folder. Raises OSError for what is no regular file, or not this user's alone."""
    if place is None:
        return (folder / name).read_bytes()
    with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise PermissionError(f"{name} is no regular file")
        _check_owner(status)
        return file.read()


def _check_owner(status: os.stat_result) -> None:
    if status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError("another user may write here")


def _write(folder: Path, key: str, code: bytes) -> None:
    """Keep the code, in one move; without a cache to write to, nothing happens."""
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _opened(folder):
            handle, name = tempfile.mkstemp(dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_head(key, code) + code)
            os.replace(name, folder / f"{key}.o")
        except BaseException:
            os.unlink(name)
            raise
