"""The one way to compile: `jit(signature)`, a typed wrapper around `numba.njit`.

Every kernel of `models` has an explicit signature, so that it is compiled (or loaded from the cache) at
import, before any port opens, and never in the middle of a fire. `nogil`, no fast-math (detectors must see
NaN), float64 and int64. With NUMBA_DISABLE_JIT=1 the same functions run as plain Python and must give the
same answers.

The trap this wrapper closes: numba's cache on disk is keyed by the *file of the outermost function*. A kernel
that calls another module's kernel keeps that old code in it when only the other file changes (an upgrade, a
`git pull`), and would go on judging by yesterday's rules. Numba does look at a function's closure, so `jit`
gives each function one: a digest of its own code, of every compiled function it calls and of every constant
it reads, however deep.

Tables are one-dimensional C-contiguous structured arrays (`table(dtype)` is their type): the call boundary
stays at a few arguments and a column has a name instead of a number.
"""

import hashlib
from collections.abc import Callable
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any, Final, TypeVar, cast

import numba
import numpy as np
from numba.core.registry import CPUDispatcher

# Half of numba is annotated, half is made at run time: to the type checker it is one untyped thing.
nb: Final[Any] = numba

F = TypeVar("F", bound=Callable[..., object])

f8: Final = nb.float64
i4: Final = nb.int32
i8: Final = nb.int64
u4: Final = nb.uint32
i8s: Final = nb.int64[::1]


def read_only(scalar: Any) -> Any:
    """The numba type of a batch's array: one-dimensional, contiguous, not writable."""
    return nb.types.Array(scalar, 1, "C", readonly=True)


def row(dtype: np.dtype[np.void]) -> Any:
    """The numba type of one row of a table; kernels change rows in place."""
    return nb.from_dtype(dtype)


def table(dtype: np.dtype[np.void]) -> Any:
    """The numba type of a table: structured array, one dimension, contiguous."""
    return nb.from_dtype(dtype)[::1]


def tuple_of(n: int) -> Any:
    """The numba type of a tuple of `n` int64."""
    return nb.types.UniTuple(i8, n)


def jit(signature: Any) -> Callable[[F], F]:
    """Compile a module function now, for exactly this signature; the decorated function keeps its type.

    Args: a numba signature, `result(argument, ...)`.
    Raises: numba's TypingError at import when the function does not fit its signature (a programmer's error).
    """

    def compile_(function: F) -> F:
        if nb.config.DISABLE_JIT:
            return function
        assert isinstance(function, FunctionType)
        assert function.__closure__ is None
        marked = _with_closure(function, made_of(function))
        return cast(F, nb.njit(signature, cache=True, nogil=True, fastmath=False)(marked))

    return compile_


def made_of(function: Callable[..., object]) -> str:
    """A digest that changes when anything the compiled function consists of changes.

    Followed: the function's code and constants, and what its global names mean: compiled functions (deep) and
    numbers, which numba freezes into the machine code. A module counts by its name only: kernels import what
    they call by name.
    """
    digest = hashlib.sha256()
    assert isinstance(function, FunctionType)
    code = function.__code__
    digest.update(code.co_code)
    digest.update(repr((code.co_consts, code.co_names)).encode())
    for name in code.co_names:
        meaning = function.__globals__.get(name)
        if isinstance(meaning, CPUDispatcher):
            digest.update(made_of(meaning.py_func).encode())
        elif meaning is not None and not isinstance(meaning, ModuleType):
            digest.update(repr(meaning).encode())
    return digest.hexdigest()


def _with_closure(function: FunctionType, mark: str) -> FunctionType:
    code: CodeType = function.__code__
    copy = FunctionType(
        code.replace(co_freevars=("made_of_mark",)),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        (CellType(mark),),
    )
    copy.__module__, copy.__doc__ = function.__module__, function.__doc__
    copy.__annotations__, copy.__qualname__ = function.__annotations__, function.__qualname__
    return copy
