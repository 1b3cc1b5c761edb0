"""The compiler wrapper: typed, without fast-math, never stale on disk, and the same answers without it."""

import doctest
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def python(*arguments: str, cwd: Path = ROOT, **env: str) -> str:
    """Run this interpreter with our packages and more environment; its output."""
    path = os.pathsep.join([str(ROOT), str(cwd)])
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env={**os.environ, "PYTHONPATH": path, **env},
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


LEAF = """
from typing import Final
from models.kernels import i8, jit
{constant}
@jit(i8(i8))
def leaf(x: int) -> int:
    return {formula}
"""
TOP = """
from models.kernels import i8, jit
from leaf import leaf
@jit(i8(i8))
def middle(x: int) -> int:
    return leaf(x)
@jit(i8(i8))
def top(x: int) -> int:
    return middle(x)
"""


def test_a_kernel_never_keeps_the_old_code_of_another_file(tmp_path: Path) -> None:
    (tmp_path / "top.py").write_text(TOP)
    cache = str(tmp_path / "cache")
    answers = []
    for constant, formula in (("", "x + 1"), ("K: Final = 5", "x + K"), ("K: Final = 6", "x + K")):
        (tmp_path / "leaf.py").write_text(LEAF.format(constant=constant, formula=formula))
        said = python("-c", "from top import top; print(top(3))", cwd=tmp_path, NUMBA_CACHE_DIR=cache)
        answers.append(int(said))
    assert answers == [4, 8, 9]


def test_a_second_start_compiles_nothing(tmp_path: Path) -> None:
    script = "from models import step; print(sum(step.judge_batch.stats.cache_misses.values()))"
    first, second = (python("-c", script, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2))
    assert (int(first), int(second)) == (1, 0)


def test_every_kernel_is_compiled_at_import_for_one_signature_and_no_other() -> None:
    from numba.core.registry import CPUDispatcher

    from models import derive, fire, flood, quality, step

    kernels = {
        value for module in (derive, fire, flood, quality, step) for value in vars(module).values()
        if isinstance(value, CPUDispatcher)
    }  # fmt: skip
    assert len(kernels) >= 15
    for kernel in kernels:
        assert len(kernel.signatures) == 1, kernel
        assert kernel.targetoptions["nogil"], kernel
        assert not kernel.targetoptions["fastmath"], kernel
        assert not kernel._can_compile, kernel


def test_without_compiler_the_judge_and_its_twin_still_say_the_same() -> None:
    files = ["tests/test_judge.py", "tests/test_quality.py"]
    said = python("-m", "pytest", "-p", "no:cacheprovider", *files, NUMBA_DISABLE_JIT="1")
    assert "passed" in said


@pytest.mark.parametrize("name", ["judge", "quality", "derive", "fire"])
def test_examples_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"models.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
