"""The compiler: write scalars, get loops. `compile` is the way in; each stage is a module that can be read alone.

trace → flow → loops → nest → adjoint (sums) → emit (machine), gradients → blocks → entry → native, runtime → program
"""

from micrograd_like.compiler.program import Program, UpTo, compile
from micrograd_like.compiler.trace import TraceError

__all__ = ["Program", "TraceError", "UpTo", "compile"]
