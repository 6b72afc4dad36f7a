"""A module's syntax as text: the same for the same code, in every version of Python."""

import ast
import builtins
from collections.abc import Iterable, Iterator, Mapping

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_IDENTIFIERS = frozenset({"id", "name", "rest"})
"""Fields of syntax nodes that may hold a name that can be numbered."""
_IGNORED = frozenset({"ctx", "kind", "type_comment"})
_READ_NAMES = frozenset({"dir", "eval", "exec", "globals", "locals", "vars"})
"""Functions that see how names are spelled: a module that uses one has no numbered names."""
_BUILTINS = frozenset(dir(builtins))


def syntax_of(tree: ast.Module) -> str:
    """Return text that is equal for two modules only if they do the same with the same imports.

    Bare strings, such as docstrings, `pass` and import statements are left out. Private names of
    the module and local variables are numbered instead of spelled, so renaming one keeps the text.
    A name that plays a second part, such as parameter or field, is written out: a number could
    hide which part it plays.
    """
    return _Writer(tree).text(tree)


class _Writer:
    def __init__(self, tree: ast.Module) -> None:
        parts = _parts_of_names(tree)
        self._reads_names = any(
            isinstance(node, ast.Name) and node.id in _READ_NAMES for node in ast.walk(tree)
        )
        self._outer = {name for name, played in parts.items() if played - {"local", "parameter"}}
        self._private = self._numbered(
            "private",
            (name for name, played in parts.items() if played == {"module"} and _is_private(name)),
        )

    def text(self, tree: ast.Module) -> str:
        return self._text(tree, self._private, in_function=False)

    def _text(self, value: object, names: Mapping[str, str], *, in_function: bool) -> str:
        if isinstance(value, ast.Constant):
            return f"{type(value.value).__name__} {value.value!a}"
        if isinstance(value, list):
            kept = [each for each in value if not _is_left_out(each)]
            return ",".join(self._text(each, names, in_function=in_function) for each in kept)
        if not isinstance(value, ast.AST):
            return ascii(value)
        if isinstance(value, _FUNCTIONS) and not in_function:
            names, in_function = {**names, **self._locals(value)}, True
        fields = []
        for field, child in ast.iter_fields(value):
            if field in _IDENTIFIERS and isinstance(child, str):
                fields.append(f"{field}={names.get(child, child)}")
            elif field not in _IGNORED and child is not None:
                text = self._text(child, names, in_function=in_function)
                if text:  # newer versions of Python add fields that are empty lists
                    fields.append(f"{field}=[{text}]")
        return f"{type(value).__name__}({','.join(fields)})"

    def _locals(self, function: ast.AST) -> dict[str, str]:
        """Numbers for the names of an outermost function and the functions within it."""
        spelled = self._outer | _BUILTINS
        parts = _parts_of_names(function)
        return self._numbered(
            "local",
            (name for name, played in parts.items() if played == {"local"} and name not in spelled),
        )

    def _numbered(self, kind: str, names: Iterable[str]) -> dict[str, str]:
        if self._reads_names:
            return {}
        return {name: f"{kind} {number}" for number, name in enumerate(names)}


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _parts_of_names(tree: ast.AST) -> dict[str, set[str]]:
    """Map each name bound within `tree`, in order of appearance, to the parts it plays."""
    parts: dict[str, set[str]] = {}
    for name, part in _bindings(tree, "module"):
        parts.setdefault(name, set()).add(part)
    return parts


def _bindings(node: ast.AST, scope: str) -> Iterator[tuple[str, str]]:
    """Yield names with the part each plays: module, class, local, parameter, import or global."""
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            yield name, scope
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            yield name, scope
        case ast.ExceptHandler(name=str(name)) | ast.MatchMapping(rest=str(name)):
            yield name, scope
        case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name, scope
        case ast.ClassDef(name=name):
            yield name, "class"
        case ast.arg(arg=name):
            yield name, "parameter"
        case ast.Global(names=names) | ast.Nonlocal(names=names):
            yield from ((name, "global") for name in names)
        case ast.alias(name=name, asname=asname):
            yield asname or name.partition(".")[0], "import"
    for field, value in ast.iter_fields(node):
        inner = scope
        if isinstance(node, (*_FUNCTIONS, ast.Lambda)) and field == "body":
            inner = "local"
        elif isinstance(node, ast.ClassDef) and field == "body":
            inner = "class"
        elif isinstance(node, ast.comprehension) and field == "target":
            inner = "local"
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _bindings(child, inner)


def _is_left_out(statement: object) -> bool:
    match statement:
        case ast.Expr(value=ast.Constant(value=str())) | ast.Pass() | ast.Import():
            return True
        case ast.ImportFrom(module=module):
            return module != "__future__"
    return False
