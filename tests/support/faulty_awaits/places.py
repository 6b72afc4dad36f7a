"""Finds everything that the handler, the relay and the projector await, by parsing their source.

A place is named `module:line: expression`.
"""

import ast
from typing import TypeVar

from tests.support.processes import ROOT

_OF_COMMANDS = ("worker/sync/plan.py", "worker/sync/first_request.py", "worker/relay/rewind.py")
"""Modules that no service runs."""
_OF_THE_PROJECTOR = ("projector", "write", "stopping", "announce")
SERVED = (
    *sorted(
        module
        for room in ("sync", "relay", "source")
        for path in (ROOT / "worker" / room).glob("*.py")
        if (module := path.relative_to(ROOT).as_posix()) not in _OF_COMMANDS
    ),
    *(f"projections/{name}.py" for name in _OF_THE_PROJECTOR),
)
"""The modules that the handler, the relay and the projector consist of."""
NOT_SERVED = (
    *("Projector.resume", "Projector._stopped", "confirm_published", "load_state"),
    *("Refusals.note", "Refusals.clear", "Refusals.read", "Relay._refuse", "Handler._give_up"),
)
"""Functions that only commands call, or that only an end between publishing and the checkpoint, a
restored log, or a log that refuses without a reason leads to."""
_NOT_REACHED = {"self._refuse(reason)", "self._give_up(run)"}
"""Their calls."""

CHECK = "_check_of_faulty_awaits"
"""The global name of the object whose methods surround what is awaited."""

_Scope = TypeVar("_Scope", ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def places() -> set[str]:
    """Return every place at which these modules await something."""
    return {place for module in SERVED for place in Instrumented(module).places}


class Instrumented(ast.NodeTransformer):
    """A module with a check around everything that is awaited in it."""

    def __init__(self, module: str) -> None:
        self.places: list[str] = []
        """The places, in no order."""
        self._module = module
        self._scope: list[str] = []
        parsed = ast.parse((ROOT / module).read_text("utf-8"))
        self.tree = ast.fix_missing_locations(self.visit(parsed))

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Enter a scope."""
        return self._within(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Enter a scope."""
        return self._within(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        """Enter a scope."""
        return self._within(node)

    def visit_Await(self, node: ast.Await) -> ast.AST:
        """Surround the awaited expression."""
        self.generic_visit(node)
        node.value = self._checked("awaiting", node.value)
        return node

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        """Surround the iterated expression."""
        self.generic_visit(node)
        node.iter = self._checked("iterating", node.iter)
        return node

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        """Surround an expression that is iterated asynchronously."""
        self.generic_visit(node)
        if node.is_async:
            node.iter = self._checked("iterating", node.iter)
        return node

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.AST:
        """Surround the context managers."""
        self.generic_visit(node)
        for item in node.items:
            item.context_expr = self._checked("entering", item.context_expr)
        return node

    def _within(self, node: _Scope) -> ast.AST:
        self._scope.append(node.name)
        self.generic_visit(node)
        self._scope.pop()
        return node

    def _checked(self, how: str, expression: ast.expr) -> ast.expr:
        if ".".join(self._scope[:2]) in NOT_SERVED or ast.unparse(expression) in _NOT_REACHED:
            return expression
        place = f"{self._module}:{expression.lineno}: {ast.unparse(expression)}"[:120]
        self.places.append(place)
        check = ast.Attribute(ast.Name(CHECK, ast.Load()), how, ast.Load())
        call = ast.Call(check, [ast.Constant(place), expression], [])
        return ast.copy_location(call, expression)
