"""The order of the house, read from the code: what each module of the package may import from the package."""

import ast
from pathlib import Path

import pytest

import micrograd_like

PACKAGE = Path(micrograd_like.__file__).parent

# From the bottom to the top. A module imports only from lines above its own, or from its own.
LEVELS = [
    {"_extras", "caller", "checks", "files", "ieee", "jobs", "graph", "order"},
    {"data"},
    {"ops"},
    {"engine"},
    {"functional", "anomaly", "samples", "summary"},
    {"nn", "optim"},
    {"compiler"},
    {"interchange", "weights", "transformer"},
    {"drawing", "testing"},
    {"history"},
    {"training"},
    {"cluster"},
    {"explain"},
    {"player", "tutor"},
    {"__init__", "cli", "__main__"},
]
# The same of the compiler's own files: its stages, one after the other, and what runs them.
COMPILER = [
    *["spaces", "trace", "flow", "loops", "growing", "affine", "nest", "sums", "adjoint", "rows"],
    *["host", "writer", "machine", "memory", "nesting"],
    *["emit", "gradients", "blocks", "steps", "fields", "shards", "entry"],
    *["native", "pipeline", "objects", "arrays", "runtime", "train", "program", "fitting", "__init__"],
]
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
# What a plain `import micrograd_like` may need from outside the standard library.
ALWAYS_INSTALLED = {"graphviz"}


def name_of(module: Path) -> str:
    """engine.py → engine, testing/strategies.py → testing."""
    return module.parts[0].removesuffix(".py")


def level(name: str) -> int:
    found = [i for i, names in enumerate(LEVELS) if name in names]
    assert found, f"micrograd_like/{name} has no place in the order of imports"
    return found[0]


def imports(module: Path, everywhere: bool = True) -> list[str]:
    """The dotted names that a module imports; only those at its top level unless `everywhere`."""
    tree = ast.parse((PACKAGE / module).read_text(encoding="utf-8"))
    found = []
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_go_down_only(module: Path) -> None:
    own = name_of(module)
    for imported in imports(module):
        parts = imported.split(".")
        if parts[0] != "micrograd_like" or len(parts) == 1:
            continue
        # What the package offers at its top is for users; inside, everything is imported from where it is defined.
        target = "__init__" if parts[1] == "__version__" else parts[1]
        assert level(target) <= level(own), f"{module} imports {imported}, which is above it"
        if level(target) == level(own) and target != own:
            assert own not in _imported_by(target), f"{module} and {target} import each other"


def test_the_compilers_stages_know_the_ones_before_them_only() -> None:
    assert sorted(COMPILER) == sorted(path.stem for path in (PACKAGE / "compiler").glob("*.py"))
    for place, name in enumerate(COMPILER):
        for imported in imports(Path("compiler", f"{name}.py")):
            if imported.startswith("micrograd_like.compiler."):
                other = imported.split(".")[2]
                if other in COMPILER:
                    assert other in COMPILER[:place], f"compiler/{name}.py imports {other}, which comes after it"


def test_no_file_imports_itself_in_a_circle() -> None:
    files = {".".join(module.with_suffix("").parts).removesuffix(".__init__"): module for module in MODULES}

    def needs(file: str) -> set[str]:
        found = set()
        for imported in imports(files[file]):
            path = imported.split(".")[1:] if imported.startswith("micrograd_like.") else []
            known = [".".join(path[:n]) for n in range(len(path), 0, -1) if ".".join(path[:n]) in files]
            found |= set(known[:1]) - {file}
        return found

    done: set[str] = set()
    for first in files:
        waiting = [[first]]
        while waiting:
            way = waiting.pop()
            for following in needs(way[-1]) - done:
                assert following not in way, f"imports in a circle: {' → '.join([*way, following])}"
                waiting.append([*way, following])
            if not needs(way[-1]) - done:
                done.add(way[-1])


def _imported_by(name: str) -> set[str]:
    modules = [module for module in MODULES if name_of(module) == name]
    return {i.split(".")[1] for module in modules for i in imports(module) if i.startswith("micrograd_like.")}


def test_networks_and_optimizers_do_not_know_each_other() -> None:
    assert "optim" not in _imported_by("nn")
    assert "nn" not in _imported_by("optim")


def test_graph_walks_know_no_class_of_ours() -> None:
    assert _imported_by("graph") == set()


def test_import_needs_no_extra() -> None:
    import sys

    allowed = sys.stdlib_module_names | ALWAYS_INSTALLED | {"micrograd_like"}
    loaded, waiting = set(), {Path("__init__.py")}
    while waiting:
        module = waiting.pop()
        loaded.add(module)
        for imported in imports(module, everywhere=False):
            assert imported.split(".")[0] in allowed, f"{module} imports {imported} at its top"
            parts = imported.split(".")[1:]
            for n in range(1, len(parts) + 1) if imported.startswith("micrograd_like.") else ():
                path = Path(*parts[:n])
                waiting |= {
                    p for p in (path.with_suffix(".py"), path / "__init__.py") if (PACKAGE / p).exists()
                } - loaded


def test_the_cluster_alone_needs_dask() -> None:
    needs = {
        name_of(module)
        for module in MODULES
        if {"dask", "distributed"} & {imported.split(".")[0] for imported in imports(module)}
        or any(f'"{name}' in (PACKAGE / module).read_text(encoding="utf-8") for name in ("dask", "distributed"))
    }
    assert needs == {"cluster"}
    assert {name_of(m) for m in MODULES if "micrograd_like.cluster" in " ".join(imports(m))} == {"cluster"}
