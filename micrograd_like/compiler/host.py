"""This computer's processor, and LLVM's binding for it."""

from __future__ import annotations

import platform
from functools import cache
from typing import Any

from micrograd_like._extras import require


@cache
def llvm() -> Any:
    """llvmlite's binding, ready for this computer. Raises ImportError naming the extra that installs it."""
    binding = require("llvmlite.binding", extra="compiled")
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding


@cache
def processor() -> tuple[str, str]:
    """This computer's processor and its features, in LLVM's words."""
    return llvm().get_host_cpu_name(), llvm().get_host_cpu_features().flatten()


@cache
def width() -> int:
    """How many doubles the processor's vectors hold; at least 2."""
    features = processor()[1].split(",")
    return 8 if "+avx512f" in features else 4 if "+avx" in features else 2


@cache
def fused() -> bool:
    """Whether the processor rounds a product and a sum once."""
    return "+fma" in processor()[1].split(",") or platform.machine().lower() in ("arm64", "aarch64")
