"""The meanings of a model's fields: the docstrings below them in the source."""

import ast
import inspect
import textwrap
from itertools import pairwise

from msgspec import Struct


def field_texts(model: type[Struct]) -> dict[str, str]:
    """The docstring of each field that has one, also of inherited fields."""
    texts: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, Struct) and base is not Struct:
            texts |= _own_texts(base)
    return texts


def _own_texts(model: type[Struct]) -> dict[str, str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    definition = tree.body[0]
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
