"""The rules of the house, read off the source: who imports whom, who reads clocks, what may be caught.

Each rule gives the list of places that break it, and the list must be empty. Exceptions stand in the tables below,
each with its reason; an exception that nothing needs any more is a failure too.
"""

import ast
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("models", "drivers", "gateway", "edge")
MAY_IMPORT = {
    "models": {"models"},
    "drivers": {"drivers", "models"},
    "gateway": {"gateway", "models"},
    "edge": {"edge", "gateway", "drivers", "models"},
}
LINES_MAX = 350
FUNCTION_LINES_MAX = 70

# What a package must not import, whoever asks (ports, clocks, threads belong to named files).
FORBIDDEN = {
    "models": {
        "aiohttp", "aiomqtt", "apprise", "asyncio", "click", "datetime", "http", "influxdb_client", "logging", "os",
        "prometheus_client", "queue", "random", "rich", "selectors", "serial", "shutil", "signal", "socket", "sqlite3",
        "ssl", "subprocess", "sys", "tempfile", "threading", "time", "tomllib", "urllib.request", "pydantic",
    },
    "drivers": {
        "aiohttp", "aiomqtt", "apprise", "asyncio", "click", "influxdb_client", "logging", "prometheus_client",
        "pydantic", "rich", "serial", "socket", "sqlite3", "subprocess", "threading", "time", "tomllib",
    },
    "gateway": {"click", "pydantic", "rich", "serial", "subprocess", "time", "tomllib", "sqlite3"},
    "edge": {"sqlite3", "serial", "time", "apprise", "aiomqtt", "influxdb_client"},
}  # fmt: skip
# (file, module): why this file may.
ALLOWED_IMPORTS = {
    ("models/site.py", "pydantic"): "the shape of a site file",
    ("drivers/device_file.py", "pydantic"): "the shape of a device file",
    ("drivers/profile.py", "pydantic"): "its errors, told in our words",
    ("drivers/port.py", "asyncio"): "byte streams of the event loop",
    ("drivers/port.py", "serial"): "the only file that knows pyserial",
    ("drivers/line.py", "asyncio"): "waits for an answer with a time limit",
    ("drivers/tcp.py", "asyncio"): "byte streams over the network",
    ("drivers/tcp.py", "socket"): "names of its options",
    ("drivers/tcp_line.py", "asyncio"): "waits for answers with a time limit",
    ("drivers/virtual.py", "asyncio"): "wire time of the devices, on any loop, virtual time too",
    ("drivers/virtual_uart.py", "asyncio"): "wire time of a sensor, on any loop",
    ("drivers/plug.py", "asyncio"): "when the plug is pulled, on any loop",
    ("drivers/stream.py", "asyncio"): "waits for a report with a time limit",
    ("drivers/pty.py", "asyncio"): "the bytes of a pty",
    ("edge/clock.py", "time"): "the only file that reads clocks",
    ("gateway/journal.py", "sqlite3"): "what must not be lost",
    ("gateway/spool.py", "sqlite3"): "what waits for the servers",
    ("gateway/spool_file.py", "sqlite3"): "opens it",
    ("gateway/database.py", "sqlite3"): "errors and transactions of both",
}
# Imported in one file at most, so that replacing the library is one file.
ONE_FILE = ("aiomqtt", "influxdb_client", "serial", "prometheus_client", "apprise")
# Where whatever a device or a receiver provokes is caught, counted and told.
MAY_CATCH_ALL = {
    "edge/poller.py": "device boundary",
    "gateway/teller.py": "notifier boundary",
    "gateway/forward.py": "sink boundary",
}
# Wider than Exception, without a bare `raise` at the end of the handler.
MAY_CARRY = {
    "edge/threads.py": "a worker thread carries what happened to the one who waits, who judges it",
    "edge/pump.py": "an answer's turn of the loop carries a bug to the bus's task, which ends with it",
}
# (file, call): why this file may read a clock or sleep beside edge/clock.py.
ALLOWED_CLOCKS: dict[tuple[str, str], str] = {}

CLOCKS = {
    "time.sleep", "time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter",
    "time.perf_counter_ns", "time.clock_gettime", "time.clock_gettime_ns", "time.localtime", "time.gmtime",
    "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "datetime.datetime.now", "datetime.date.today",
}  # fmt: skip
TOP_LEVEL = {"edge", "gateway", "drivers", "models", "deploy", "tests", "pyproject.toml", "README.md"}
BESIDE = {"LICENSE", "CHANGELOG.md", "uv.lock"}  # allowed by the owner beside dotfiles


@cache
def files(folder: str) -> tuple[Path, ...]:
    return tuple(sorted(p for p in (ROOT / folder).rglob("*.py") if "__pycache__" not in p.parts))


def code() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in files(package):
            yield path.relative_to(ROOT).as_posix(), path


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of every import, also inside functions; `from a import b` gives a and a.b."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import hides where it points"
            yield node.lineno, node.module or ""
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def is_in(module: str, name: str) -> bool:
    return module == name or module.startswith(name + ".")


def called(node: ast.AST) -> str:
    """`a.b.c` of a name or attribute, else ""."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = called(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def test_packages_import_in_one_direction_only() -> None:
    broken = [
        f"{name}:{line} imports {module}"
        for name, path in code()
        for line, module in imports(path)
        if module.split(".")[0] in (*PACKAGES, "tests")
        and module.split(".")[0] not in MAY_IMPORT[name.split("/")[0]]
    ]
    assert broken == []


def test_no_package_imports_what_belongs_to_another_room() -> None:
    used, broken = set(), []
    for name, path in code():
        for line, module in imports(path):
            for forbidden in FORBIDDEN[name.split("/")[0]]:
                if not is_in(module, forbidden):
                    continue
                used.add((name, forbidden))
                if (name, forbidden) not in ALLOWED_IMPORTS:
                    broken.append(f"{name}:{line} imports {module}")
    assert broken == []
    assert set(ALLOWED_IMPORTS) <= used, "an exception that nothing needs"


@pytest.mark.parametrize("library", ONE_FILE)
def test_a_library_that_may_be_replaced_is_imported_in_one_file(library: str) -> None:
    users = {name for name, path in code() for _, module in imports(path) if is_in(module, library)}
    assert len(users) <= 1, users


def test_the_view_knows_only_the_agents_snapshot() -> None:
    broken = [
        f"{name}:{line} imports {module}"
        for name, path in code()
        if name.startswith(("edge/view", "edge/commands/view"))
        for line, module in imports(path)
        if module.startswith(("edge.simulation", "drivers", "gateway", "edge.core", "edge.service"))
    ]
    assert broken == []


def test_everything_is_caught_in_named_places_only() -> None:
    found: dict[str, int] = {}
    wider = set()
    for name, path in code():
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.ExceptHandler):
                continue
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            for kind in kinds:
                caught = "everything" if kind is None else called(kind)
                if caught == "Exception":
                    found[name] = found.get(name, 0) + 1
                elif caught in ("everything", "BaseException"):
                    last = node.body[-1]
                    if not (isinstance(last, ast.Raise) and last.exc is None):  # cleaned up and passed on
                        wider.add(name)
    assert wider == set(MAY_CARRY)
    assert found == dict.fromkeys(MAY_CATCH_ALL, 1)


def test_clocks_are_read_and_slept_on_in_one_file() -> None:
    used, broken = set(), []
    for name, path in code():
        if name == "edge/clock.py":
            continue
        aliases = {
            alias.asname or alias.name: f"{node.module}.{alias.name}"
            for node in ast.walk(tree(path))
            if isinstance(node, ast.ImportFrom) and node.module in ("time", "datetime")
            for alias in node.names
        }
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.Name | ast.Attribute):
                continue
            word = called(node)
            head, _, tail = word.partition(".")
            full = aliases.get(head, head) + (f".{tail}" if tail else "")
            if full in CLOCKS or full.removeprefix("datetime.") in CLOCKS:
                used.add((name, full))
                if (name, full) not in ALLOWED_CLOCKS:
                    broken.append(f"{name}:{node.lineno} uses {full}")
    assert broken == []
    assert set(ALLOWED_CLOCKS) <= used, "an exception that nothing needs"


def test_nothing_runs_in_the_default_thread_pool() -> None:
    # a name look-up that hangs there would block the shutdown
    broken = []
    for name, path in code():
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.Call):
                continue
            word = called(node.func).rpartition(".")[2]
            is_default = (
                bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value is None
            )
            if word == "to_thread" or (word == "run_in_executor" and is_default):
                broken.append(f"{name}:{node.lineno}")
    assert broken == []


def test_a_silenced_checker_says_why() -> None:
    broken = []
    for name, path in code():
        with path.open("rb") as file:
            comments = [t for t in tokenize.tokenize(file.readline) if t.type == tokenize.COMMENT]
        for comment in comments:
            for silence in re.finditer(
                r"(type:\s*ignore|noqa)(\[[\w, -]+\]|:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*)?(.*)", comment.string
            ):
                reason = re.sub(r"#?\s*(type:\s*ignore|noqa)(\[[\w, -]+\]|:\s*[A-Z]+\d+)?", "", silence[4])
                if not silence[2] or len(reason.strip(" #:-")) < 8:
                    broken.append(f"{name}:{comment.start[0]} {comment.string}")
    assert broken == []


def test_every_module_says_what_it_is_for() -> None:
    short = [name for name, path in code() if len(ast.get_docstring(tree(path)) or "") < 20]
    tests = [p.name for p in files("tests") if p.name.startswith("test_") and not ast.get_docstring(tree(p))]
    assert short + tests == []


def test_every_public_thing_says_what_it_gives() -> None:
    silent = [
        f"{name}:{node.lineno} {node.name}"
        for name, path in code()
        for node in tree(path).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


def test_a_file_and_a_function_can_be_read_in_one_sitting() -> None:
    long = []
    for name, path in code():
        n_lines = path.read_text("utf-8").count("\n")
        if n_lines > LINES_MAX:
            long.append(f"{name} has {n_lines} lines")
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                if size > FUNCTION_LINES_MAX:
                    long.append(f"{name}:{node.lineno} {node.name} has {size} lines")
    assert long == []


def texts() -> Iterator[tuple[str, str]]:
    """All text files of the project that people read, this one excepted."""
    suffixes = {".py", ".toml", ".md", ".service", ".sh", ".txt", ""}
    for folder in ("edge", "gateway", "drivers", "models", "deploy", "tests", ".ci"):
        for path in sorted((ROOT / folder).rglob("*")):
            hidden = {"__pycache__", "vectors", ".venv", ".hypothesis"} & set(path.parts)
            if path.is_file() and path.suffix in suffixes and not hidden and path != Path(__file__):
                yield path.relative_to(ROOT).as_posix(), path.read_text("utf-8", "replace")
    for name in ("README.md", "pyproject.toml"):
        yield name, (ROOT / name).read_text("utf-8")


def test_no_text_has_paths_of_a_machine_or_work_left_to_do() -> None:
    word = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|/work/(main|shared)|/root/|/home/[a-z]|/tmp/ww")
    broken = [
        f"{name}:{i}: {line.strip()[:80]}"
        for name, text in texts()
        for i, line in enumerate(text.split("\n"), 1)
        if word.search(line)
    ]
    assert broken == []


def test_the_top_level_is_as_the_owner_fixed_it() -> None:
    made = {"build", "dist", "__pycache__"}  # by tools, ignored by git
    names = {
        p.name for p in ROOT.iterdir() if not p.name.startswith(".") and not p.name.endswith(".egg-info")
    }
    assert names | BESIDE >= TOP_LEVEL
    assert names - TOP_LEVEL - BESIDE - made == set()


def test_names_shown_to_people_are_composed_unicode() -> None:
    import unicodedata

    broken = [
        name
        for name, text in texts()
        if not unicodedata.is_normalized("NFC", text)
        and name != "tests/golden/broken.site.toml"  # on purpose
    ]
    assert broken == []
