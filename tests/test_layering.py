"""The walls between packages, and what must stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "lowbit"

# each may import from those before it (and from itself); modules of the top folder count as packages
ORDER = (
    "errors", "version", "progress", "files", "numerics", "graph", "data", "frontend", "zoo", "passes", "quantization", "fake",
    "methods", "targets", "kernels", "lowering", "backend", "runtime", "profile", "export", "tuning", "measure", "emulate",
    "reporting", "stage_log", "arguments", "tracer", "chosen_config", "quantizer", "compiler", "dynamo", "simulate",
    "bench", "bench_emulated", "bench_gpu", "evaluation", "analysis", "searching", "cli", "__main__",
)  # fmt: skip

# where a heavy package may be imported when the module is; inside functions it may be imported anywhere here
HEAVY = {
    "torch": {"frontend", "zoo", "fake", "analysis", "methods", "dynamo"},
    "tvm": {"kernels", "backend"},
    "onnxruntime": set(),
    "openvino": set(),
    "onnx": set(),
    "matplotlib": set(),
    "scipy": set(),
}
LAZY = {
    "torch": {
        "frontend",
        "zoo",
        "quantization",
        "fake",
        "methods",
        "runtime",
        "measure",
        "emulate",
        "compiler",
        "bench",
        "bench_gpu",
    }
    | {"evaluation", "analysis", "dynamo"},
    "tvm": {"kernels", "backend"},
    "onnxruntime": {"measure"},
    "openvino": {"measure"},
    "onnx": {"export", "frontend", "measure"},
    "matplotlib": {"reporting", "searching"},
    "scipy": {"searching"},
}

# functions of a module that open a later package: methods of the facade that only pass themselves on
DOORS = {"runtime/compiled.py": {"profile", "export"}}

FILES = sorted(SOURCE.rglob("*.py"))


def _package(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def _imports(tree: ast.AST, everywhere: bool) -> list[tuple[str, int]]:
    """(module, line) of imports, those under ``if TYPE_CHECKING`` left out; only top-level ones unless ``everywhere``."""
    found: list[tuple[str, int]] = []

    def visit(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
                continue
            if isinstance(child, ast.Import):
                found.extend((alias.name, child.lineno) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, "relative import"
                prefix = f"{child.module}." if child.module == "lowbit" else ""
                found.extend((f"{prefix}{alias.name}" if prefix else str(child.module), child.lineno) for alias in child.names)
            elif everywhere or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                visit(child)

    visit(tree)
    return found


def violations(package: str, source: str, doors: Collection[str] = ()) -> list[str]:
    """What a module of ``package`` with this text imports and may not.  ``doors``: later packages that its functions may."""
    tree = ast.parse(source)
    wrong = []
    if package != "__init__":
        at_once = _imports(tree, everywhere=False)
        for module, line in _imports(tree, everywhere=True):
            parts = module.split(".")
            if len(parts) > 1 and parts[1] in doors and (module, line) not in at_once:
                continue
            if parts[0] == "lowbit" and len(parts) > 1 and parts[1] in ORDER and ORDER.index(parts[1]) > ORDER.index(package):
                wrong.append(f"line {line}: {package} imports {module}, which comes after it")
    for allowed, everywhere in ((HEAVY, False), (LAZY, True)):
        for module, line in _imports(tree, everywhere):
            heavy = module.split(".")[0]
            if heavy in allowed and package not in allowed[heavy]:
                wrong.append(f"line {line}: {package} imports {heavy}{'' if everywhere else ' when it is imported'}")
    return wrong


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_only_from_before(path: Path) -> None:
    package = _package(path)
    assert package in (*ORDER, "__init__"), f"{package} has no place in ORDER"
    assert violations(package, path.read_text(), DOORS.get(str(path.relative_to(SOURCE)), ())) == []


@pytest.mark.parametrize(
    ("package", "source", "text"),
    [
        ("graph", "from lowbit.cli import app", "graph imports lowbit.cli"),
        ("graph", "def f():\n    from lowbit.backend.cache import x", "graph imports lowbit.backend.cache"),
        ("numerics", "from lowbit import compiler", "numerics imports lowbit.compiler"),
        ("quantization", "import torch", "quantization imports torch when it is imported"),
        ("lowering", "def f():\n    import tvm.tirx", "lowering imports tvm"),
    ],
)
def test_a_breach_is_seen(package: str, source: str, text: str) -> None:
    assert any(text in wrong for wrong in violations(package, source))


def test_a_door_opens_in_functions_only() -> None:
    assert violations("runtime", "def f():\n    from lowbit.export.library import x", {"export"}) == []
    assert violations("runtime", "from lowbit.export.library import x", {"export"}) != []
    assert violations("runtime", "def f():\n    from lowbit.export.library import x") != []


def _python(code: str, *arguments: str) -> str:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True).stdout


_HEAVY_LOADED = "import sys; print(sorted({'torch', 'tvm', 'onnxruntime', 'matplotlib', 'onnx'} & set(sys.modules)))"


@pytest.mark.parametrize(
    "code",
    [
        "import lowbit",
        "import lowbit; lowbit.load",
        "from lowbit.cli import app\ntry: app(['--help'])\nexcept SystemExit: pass",
        "from lowbit.cli import app\ntry: app(['compile', '--help'])\nexcept SystemExit: pass",
    ],
)
def test_light_without_torch_and_tvm(code: str) -> None:
    output = _python(f"{code}\n{_HEAVY_LOADED}")
    assert output.splitlines()[-1] == "[]"


def test_load_and_run_need_numpy_alone(artifacts: Mapping[str, Path]) -> None:
    """With all other packages lowbit depends on out of reach, an artifact still loads, runs and shows its graph."""
    code = """
import sys
class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "tvm", "rich", "typer", "safetensors", "PIL", "matplotlib"}:
            raise ImportError(name)
sys.meta_path.insert(0, Wall())
import lowbit
import numpy as np
net = lowbit.load(sys.argv[1])
print(net(np.zeros(net.input_shapes[0], np.float32)).shape, len(net.graph().nodes) > 3, len(net.program().calls) > 3)
"""
    assert _python(code, str(artifacts["4/int4"])) == "(1, 10) True True\n"


def test_help_imports_next_to_nothing() -> None:
    """So that it answers at once: of lowbit the command line and what needs nothing but Python; of others none that is heavy."""
    code = """
from lowbit.cli import app
try: app(["--help"])
except SystemExit: pass
import sys
print(*(name for name in sys.modules if name.split(".")[0] not in sys.stdlib_module_names))
"""
    names = set(_python(code).splitlines()[-1].split())
    assert {name.split(".")[1] for name in names if name.startswith("lowbit.")} <= {"cli", "errors", "files", "version"}
    heavy = {"numpy", "torch", "tvm", "safetensors", "PIL", "matplotlib", "scipy", "pandas"}
    assert {name.split(".")[0] for name in names}.isdisjoint(heavy)
