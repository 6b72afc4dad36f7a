"""Versions of code: equal as long as the code does the same, however it is written and arranged.

A version is a hash over the parsed modules and all modules that they import from their packages.

- These keep it: docstrings, comments, formatting, the order of imports, file names, moved modules,
  new names of local variables and of private functions and constants.
- Everything else changes it: constants, strings, operators, calls, attributes, parameters, fields,
  classes, public names and the order of statements.
"""

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from importlib.util import find_spec

from contracts.syntax import syntax_of

_SQL_NOISE = re.compile(r"""('[^']*'|"[^"]*")|(?:--[^\n]*|\s)+""")


def version_of(
    modules: Iterable[str],
    *,
    scripts: Iterable[tuple[str, str]] = (),
    same_as: Mapping[str, str] | None = None,
) -> str:
    """Return the version of modules and of SQL scripts: 12 hexadecimal digits of a SHA-256.

        version_of(["projections.write"], scripts=[("projections", "sql/tables.sql")])

    Imports are followed into the top-level packages of `modules`. `same_as` maps a computed version
    to the version of earlier code that does the same, for example before a public name changed.

    Raises:
        ValueError: a module has an import that cannot be followed: a relative one, one of all
            names, one of a private name, or `import a.b` of a module of the packages.
    """
    modules = list(modules)
    code = Code(name.partition(".")[0] for name in modules)
    parts = [code.digest(name) for name in modules]
    parts += [
        _script(files(package).joinpath(name).read_text("utf-8")) for package, name in scripts
    ]
    computed = _hash(parts)[:12]
    return (same_as or {}).get(computed, computed)


class Code:
    """Digests of the modules of some packages, independent of the names of the modules."""

    def __init__(self, packages: Iterable[str]) -> None:
        self._packages = frozenset(packages)
        self.digests: dict[str, str] = {}
        """Digests of the hashed modules and of all that they import, by module name."""

    def digest(self, module: str) -> str:
        """Hash a module: its syntax, and the origin of each imported name."""
        if module not in self.digests:
            tree = ast.parse(_source(module))
            self.digests[module] = _hash([*sorted(self._imports(tree)), syntax_of(tree)])
        return self.digests[module]

    def _imports(self, tree: ast.Module) -> Iterator[str]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if self._is_ours(alias.name):
                        raise ValueError(f"import names from {alias.name}, not the module")
                    yield f"{alias.asname}={alias.name}"
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if node.module is None or node.level or alias.name == "*":
                        raise ValueError("import names from the full name of their module")
                    origin = self._origin(node.module, alias.name)
                    yield f"{alias.asname or alias.name}={origin}"

    def _origin(self, module: str, name: str) -> str:
        if not self._is_ours(module):
            return f"{module}.{name}"
        if name.startswith("_"):
            raise ValueError(f"{module}.{name} is private: import public names only")
        if _is_package(module) and find_spec(f"{module}.{name}"):
            return self.digest(f"{module}.{name}")
        return f"{self.digest(module)}.{name}"

    def _is_ours(self, module: str) -> bool:
        return module.partition(".")[0] in self._packages


def _script(sql: str) -> str:
    """Drop comments and line breaks, unless quoting beyond plain strings could hide some."""
    if re.search(r"\$|/\*|\\", sql):
        return sql
    return _SQL_NOISE.sub(lambda found: found[1] or " ", sql).strip()


def _source(module: str) -> str:
    package, name = (module, "__init__") if _is_package(module) else module.rsplit(".", 1)
    return files(package).joinpath(f"{name}.py").read_text("utf-8")


def _is_package(module: str) -> bool:
    spec = find_spec(module)
    return spec is not None and spec.submodule_search_locations is not None


def _hash(parts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part.encode()).digest())
    return digest.hexdigest()
