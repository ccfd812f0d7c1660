"""The compiler: write scalars, get loops. `compile` is the way in; each stage is a module that can be read alone.

trace → flow → loops (growing, affine) → nest → adjoint (sums) → rows → emit, gradients → blocks → shards, entry →
native, runtime → program

Below `emit` are the jobs it is made of: writer (LLVM's text), machine (the rows), memory (addresses), nesting (loops, jam).
"""

from micrograd_like.compiler.arrays import UpTo
from micrograd_like.compiler.program import Program, compile
from micrograd_like.compiler.trace import TraceError

__all__ = ["Program", "TraceError", "UpTo", "compile"]
