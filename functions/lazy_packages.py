"""Of packages and modules named one by one, what is not asked for does not cost a cold start.

Packages that only pass on names load what a name needs when it is first asked for, as `lazy import`
of a later Python does for a whole program. Models of pydantic are built when they are first used.
"""

import ast
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from importlib.abc import InspectLoader, Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import CodeType, ModuleType
from typing import Any

Names = dict[str, tuple[str, str]]  # of a package: the module each comes from, and its name there
Loaders = dict[str, Callable[[InspectLoader], Loader]]  # of those named: what stands in for its own


def make_lazy(packages: Iterable[str], *, models_of: Iterable[str] = ()) -> None:
    """Those that are not loaded yet, from now on; the others stay as they are."""
    loaders: Loaders = {**dict.fromkeys(packages, _Names), **dict.fromkeys(models_of, _Models)}
    sys.meta_path.insert(0, _Finder(loaders))


class _Finder(MetaPathFinder):
    def __init__(self, loaders: Loaders) -> None:
        self._loaders = loaders

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self._loaders:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, InspectLoader):
            spec.loader = self._loaders[name](spec.loader)
        return spec


class _LazyLoader(Loader):
    """Stands in for the usual loader while the module is loaded, and leaves no trace."""

    def __init__(self, usual: InspectLoader) -> None:
        self._usual = usual

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._usual
        if module.__spec__ is not None:
            module.__spec__.loader = self._usual
        self._run(module)

    def _run(self, module: ModuleType) -> None:
        self._usual.exec_module(module)


class _Names(_LazyLoader):
    """Runs the package's own `__init__`, its imports put off if it does nothing but import."""

    def _run(self, module: ModuleType) -> None:
        found = _split(self._usual.get_source(module.__name__), module.__name__)
        if found is None:
            super()._run(module)
            return
        rest, names = found
        module.__dict__["__getattr__"] = _Deferred(module, names)
        exec(rest, module.__dict__)


class _Models(_LazyLoader):
    """Runs the module as it is; models that inherit from its own are built late like them."""

    def _run(self, module: ModuleType) -> None:
        from pydantic import BaseModel

        BaseModel.model_config["defer_build"] = True
        try:
            super()._run(module)
        finally:  # two at once, or one within another, leave nothing behind either
            BaseModel.model_config.pop("defer_build", None)


class _Deferred:
    """The package's `__getattr__`: loads what one name needs, and everything for any other."""

    def __init__(self, module: ModuleType, names: Names) -> None:
        self._module, self._names = module, names

    def __call__(self, name: str) -> Any:
        for wanted in [name] if name in self._names else list(self._names):
            source, called = self._names[wanted]
            self._module.__dict__.setdefault(wanted, getattr(import_module(source), called))
        if name in self._module.__dict__:
            return self._module.__dict__[name]
        raise AttributeError(f"module {self._module.__name__!r} has no attribute {name!r}")


def _split(source: str | None, package: str) -> tuple[CodeType, Names] | None:
    """The rest of an `__init__`, and the names it passes on; None if it does more than that."""
    if source is None:
        return None
    tree = ast.parse(source)
    names: Names = {}
    rest: list[ast.stmt] = []
    for node in tree.body:
        if not isinstance(node, ast.ImportFrom) or node.module == "__future__":
            rest.append(node)
            continue
        origin = f"{package}.{node.module}" if node.level else f"{node.module}"
        if node.level > 1 or not node.module or not origin.startswith(f"{package}."):
            return None
        names |= {alias.asname or alias.name: (origin, alias.name) for alias in node.names}
    if "*" in names or not all(map(_is_plain, rest)):
        return None
    tree.body = rest
    return compile(tree, f"<the rest of {package}>", "exec", dont_inherit=True), names


def _is_plain(node: ast.stmt) -> bool:
    """A docstring, `from __future__`, or constants: nothing that could use an imported name."""
    if isinstance(node, ast.ImportFrom):
        return True
    if isinstance(node, ast.Assign | ast.Expr):
        return all(isinstance(part, PLAIN) for part in ast.walk(node.value))
    return False


PLAIN = (ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Load)
