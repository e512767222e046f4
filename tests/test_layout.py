"""The shape of the source: who imports whom, how long things are, and what is never called."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ("core", "envs", "networks", "search", "tasks", "agents", "play")
FOLDERS = (*LIBRARY, "commands", "studies", "tengen")

MAY_IMPORT = {
    "core": {"core"},
    "envs": {"envs", "core"},
    "networks": {"networks", "core"},
    "search": {"search", "envs", "core"},
    "tasks": {"tasks", "networks", "core"},
    "agents": {"agents", "tasks", "search", "envs", "networks", "core"},
    "play": {"play", "agents", "search", "envs", "networks", "core"},
    "commands": {"commands", "play", "agents", "tasks", "search", "envs", "networks", "core"},
    "studies": {"studies", "commands", *LIBRARY},
    "tengen": {"tengen", "commands"},
}
SHARED_BY_AGENTS = {"registry"}
TASKS = {"classify", "gan", "label", "lm", "mlm", "translate", "words"}

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_90TH_PERCENTILE_LINES = 35

RUNS_CODE = {"pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib", "yaml"}
# stable-baselines3 archives hold pickles; the folder loads them only when the user trusts them.
MAY_RUN_CODE = "agents/baselines/"

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def sources() -> dict[str, str]:
    """Path from the root to text, for every source file of the application."""
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    paths += [ROOT / "train.py", ROOT / "evaluate.py"]
    return {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in sorted(paths)}


@cache
def trees() -> list[tuple[str, ast.Module]]:
    """Path and syntax tree of every source file."""
    return [(path, ast.parse(text)) for path, text in sources().items()]


def imported_modules(tree: ast.AST) -> Iterator[str]:
    """Dotted names that a file imports anywhere, functions and type checking included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}.{alias.name}" for alias in node.names)


def forbidden_imports(path: str, tree: ast.AST) -> list[str]:
    """Imports that point upwards, sideways between agents or tasks, or are relative."""
    folder, *inner = path.split("/")
    allowed = MAY_IMPORT.get(folder, {"commands"})
    found = []
    for module in imported_modules(tree):
        top, *rest = module.split(".")
        sideways = folder == top == "agents" and len(inner) > 1 and (
            rest[:1] not in ([inner[0]], *([name] for name in SHARED_BY_AGENTS)))  # fmt: skip
        if folder == top == "tasks" and rest:
            sideways = rest[0] in TASKS and rest[0] != inner[0]
        if top == "" or (top in FOLDERS and top not in allowed) or sideways:
            found.append(f"{path} imports {module}")
    return found


def running_code(path: str, tree: ast.AST) -> list[str]:
    """Ways to run code that lies in data."""
    found = [m for m in imported_modules(tree) if m.split(".")[0] in RUNS_CODE]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in ("eval", "exec", "compile", "__import__", "torch.load"):
                found.append(name)
            if any(k.arg == "allow_pickle" for k in node.keywords):
                found.append("allow_pickle")
    return [f"{path} uses {name}" for name in found]


def functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Name and number of lines of every function, decorators apart."""
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_arrows_point_downwards() -> None:
    assert [text for path, tree in trees() for text in forbidden_imports(path, tree)] == []


def test_users_install_only_what_the_application_imports() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {re.split(r"[^\w-]", text)[0] for text in project["dependencies"]}
    imported = {module.split(".")[0] for _, tree in trees() for module in imported_modules(tree)}
    packages = packages_distributions()
    used = {package for name in imported for package in packages.get(name, ())}
    assert declared - {package.lower().replace("_", "-") for package in used} == set()


@pytest.mark.parametrize(
    ("path", "code", "count"),
    [
        ("core/x.py", "import envs", 1),
        ("core/x.py", "def f():\n    from agents.dqn import agent", 1),
        ("core/x.py", "from core.errors import UserError", 0),
        ("core/x.py", "from .errors import UserError", 1),
        ("envs/x.py", "import networks.torso", 1),
        ("agents/dqn/x.py", "from agents.dqn.losses import a\nfrom agents.registry import B", 0),
        ("tasks/lm/x.py", "from tasks.lm.task import a\nfrom tasks.data.files import b", 0),
        ("tasks/lm/x.py", "import tasks.mlm.task", 1),
        ("tasks/data/x.py", "from tasks.lm import task", 1),
        ("tasks/x.py", "from agents.registry import AGENTS", 1),
        ("agents/dqn/x.py", "from agents.reinforce import losses", 1),
        ("agents/x.py", "import commands.train", 1),
        ("train.py", "import core.config", 1),
    ],
)
def test_the_arrow_check_sees_arrows(path: str, code: str, count: int) -> None:
    assert len(forbidden_imports(path, ast.parse(code))) == count


def test_files_and_functions_are_short() -> None:
    lengths = {f"{path}:{name}": n for path, tree in trees() for name, n in functions(tree)}
    assert [p for p, text in sources().items() if text.count("\n") > MAX_FILE_LINES] == []
    assert [name for name, lines in lengths.items() if lines > MAX_FUNCTION_LINES] == []
    ordered = sorted(lengths.values())
    assert ordered[len(ordered) * 9 // 10] <= MAX_90TH_PERCENTILE_LINES


def test_nothing_runs_code_from_data() -> None:
    found = [
        text
        for path, tree in trees()
        if not path.startswith(MAY_RUN_CODE)
        for text in running_code(path, tree)
    ]
    assert found == []


@pytest.mark.parametrize(
    "code",
    ["from pickle import loads", "eval('1')", "torch.load(f, weights_only=True)", "import yaml",
     "np.load(f, allow_pickle=True)"],
)  # fmt: skip
def test_the_code_check_sees_code(code: str) -> None:
    assert running_code("x.py", ast.parse(code))
    assert not running_code("x.py", ast.parse("model.eval(); re.compile('a'); np.load(f)"))


def test_the_library_does_not_print() -> None:
    printing = [
        path
        for path, tree in trees()
        if path.startswith(LIBRARY)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    ]
    assert printing == []


def undocumented(path: str, tree: ast.Module) -> list[str]:
    """Modules, public classes and their public functions without a docstring."""
    found = [path] if ast.get_docstring(tree) is None else []
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    scopes = [tree.body, *(c.body for c in classes if not c.name.startswith("_"))]
    for body in scopes:
        for node in body:
            if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
                continue
            if ast.get_docstring(node) is None:
                found.append(f"{path}:{node.lineno} {node.name}")
    return found


def test_public_names_say_what_they_are() -> None:
    assert [text for path, tree in trees() for text in undocumented(path, tree)] == []
