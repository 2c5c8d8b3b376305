"""A project's files as modules."""

import importlib
import importlib.util
import sys
from pathlib import Path
from threading import RLock
from types import ModuleType

_importing = RLock()  # a module that another thread is about to import looks finished


def module_named(path: str, folder: Path) -> ModuleType:
    """The module of `./file.py`, relative to the folder, or of `dotted.name`."""
    with _importing:
        return _module(folder / path) if path.endswith(".py") else importlib.import_module(path)


def _module(file: Path) -> ModuleType:
    """A file as a module, under the name it has in its package when it lies in one."""
    if not file.exists():
        raise FileNotFoundError(2, "no such file", str(file))
    file = file.resolve()
    for name, module in list(sys.modules.items()):
        if getattr(module, "__file__", None) == str(file) and name != "__main__":
            return module
    parts = [file.stem]
    for folder in file.parents:
        if not (folder / "__init__.py").exists():
            break
        parts.insert(0, folder.name)
    name = ".".join(parts)
    if len(parts) > 1 and importlib.util.find_spec(parts[0]) is not None:
        found = importlib.import_module(name)
        if getattr(found, "__file__", None) == str(file):
            return found
    spec = importlib.util.spec_from_file_location(name.replace(".", "__"), file)
    assert spec is not None, "a .py file has a loader"
    assert spec.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:  # a module may exit, too
        del sys.modules[spec.name]
        raise
    return module
