"""Versions of code: unchanged by prose, places and private names, changed by what code does."""

import ast
import subprocess
import sys
import tomllib
from itertools import count
from pathlib import Path

import pytest

from contracts.code_version import Code, version_of
from contracts.syntax import syntax_of
from projections.version import CODE_VERSION
from projections.version import MODULES as PROJECTION_MODULES
from tests.support.processes import ROOT
from worker.sync.fold_version import FOLD_VERSION
from worker.sync.fold_version import MODULES as FOLD_MODULES

RULES = '''\
"""Rules of a shop."""

import json
from dataclasses import dataclass
from shop.prices import discount as _discount, rounded
from shop import taxes

_LIMIT = 10
FREE = "free"


@dataclass
class Item:
    """An item."""

    name: str
    """How it is called."""
    price: int = 0


def total(items, factor=1):
    """Add up the prices."""
    # Comments explain.
    result = 0
    for item in items:
        if item.price < _LIMIT:
            result += _scaled(item.price, factor)
    return rounded(result) + taxes.rate(result)


def label(items, *, sep=", "):
    words = [f"{item.name}: {item.price!r}" for item in items]
    return sep.join(words) or FREE


def names(items):
    return json.dumps(sorted(item.name for item in items))


def _scaled(price, factor):
    return price * factor - _discount(price)


def _shown(price):
    pass


def _hidden(price):
    return None


def kind(item):
    match item:
        case Item(name="a") as found:
            return _shown(found.price)
        case other:
            return _hidden(other)
'''
PRICES = "def rounded(price):\n    return price // 2\n\n\ndef discount(price):\n    return 1\n"
TAXES = "from shop.limits import HIGHEST\n\n\ndef rate(price):\n    return HIGHEST\n"
SHOP = {
    "__init__.py": "",
    "rules.py": RULES,
    "prices.py": PRICES,
    "taxes.py": TAXES,
    "limits.py": "HIGHEST = 20\n",
    "tables.sql": "-- Items\nCREATE TABLE items (\n    name text NOT NULL,  -- it's\n"
    "    mark text DEFAULT '-- none'\n);\n",
}

_numbers = count()


class Shop:
    """A package that is written to a folder of its own for each version."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._folder, self._patch = folder, patch

    def version(self, sources: dict[str, str], module: str = "shop.rules") -> str:
        root = self._folder / str(next(_numbers))
        for name, source in sources.items():
            path = root / "shop" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, "utf-8")
        with self._patch.context() as patch:
            for name in [n for n in sys.modules if n.partition(".")[0] == "shop"]:
                patch.delitem(sys.modules, name)
            patch.syspath_prepend(root)
            try:
                return version_of([module], scripts=[("shop", "tables.sql")])
            finally:
                for name in [n for n in sys.modules if n.partition(".")[0] == "shop"]:
                    del sys.modules[name]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    return Shop(tmp_path, monkeypatch)


def edited(file: str, old: str, new: str) -> dict[str, str]:
    assert old in SHOP[file]
    return SHOP | {file: SHOP[file].replace(old, new)}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        pytest.param("rules.py", '"""Rules of a shop."""', "", id="docstring of a module"),
        pytest.param("rules.py", '    """An item."""\n', "", id="docstring of a class"),
        pytest.param("rules.py", "Add up the prices", "Sum", id="docstring of a function"),
        pytest.param("rules.py", '    """How it is called."""\n', "", id="docstring of a field"),
        pytest.param("rules.py", "    pass\n", '    """Not yet."""\n', id="docstring for pass"),
        pytest.param("rules.py", "# Comments explain.", "# Why not", id="comment"),
        pytest.param("rules.py", "0\n    for", "(\n        0\n    )\n    for", id="formatting"),
        pytest.param("rules.py", "_LIMIT = 10", "_LIMIT = 1_0", id="a number written otherwise"),
        pytest.param("rules.py", "result", "amount", id="local variable"),
        pytest.param("rules.py", "words", "shown", id="another local variable"),
        pytest.param("rules.py", "found", "match", id="captured name"),
        pytest.param("rules.py", "_LIMIT", "_MOST", id="private constant"),
        pytest.param("rules.py", "_scaled", "_multiplied", id="private function"),
        pytest.param("tables.sql", "-- Items", "-- All the items", id="comment in SQL"),
        pytest.param("tables.sql", "it's", "", id="comment in SQL with a quote"),
        pytest.param("tables.sql", "(\n    name", "( name", id="white space in SQL"),
    ],
)
def test_prose_and_private_names_keep_the_version(
    shop: Shop, file: str, old: str, new: str
) -> None:
    assert shop.version(edited(file, old, new)) == shop.version(SHOP)


def test_the_order_of_imports_keeps_the_version(shop: Shop) -> None:
    first, last = "import json\n", "from shop import taxes\n"
    moved = RULES.replace(first, "").replace(last, last + first)
    assert shop.version(SHOP | {"rules.py": moved}) == shop.version(SHOP)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        pytest.param("rules.py", "_LIMIT = 10", "_LIMIT = 11", id="constant"),
        pytest.param("rules.py", "= 0\n\n", "= False\n\n", id="type of a constant"),
        pytest.param("rules.py", '"free"', '"gratis"', id="string"),
        pytest.param("rules.py", '", "', '","', id="default"),
        pytest.param("rules.py", "price!r", "price!s", id="conversion"),
        pytest.param("rules.py", "< _LIMIT", "<= _LIMIT", id="comparison"),
        pytest.param("rules.py", "price * factor", "price + factor", id="operator"),
        pytest.param("rules.py", "price: int", "cost: int", id="field"),
        pytest.param("rules.py", "name: str\n", "name: bytes\n", id="type of a field"),
        pytest.param("rules.py", "item.price <", "item.cost <", id="attribute"),
        pytest.param("rules.py", "sorted(", "reversed(", id="builtin function"),
        pytest.param("rules.py", "_shown(found", "_hidden(found", id="called private function"),
        pytest.param("rules.py", "taxes.rate", "taxes.most", id="function of a module"),
        pytest.param("rules.py", "items, *, sep", "items, sep", id="parameter's kind"),
        pytest.param("rules.py", "(price, factor):", "(factor, price):", id="parameters' order"),
        pytest.param("rules.py", "@dataclass\n", "", id="decorator"),
        pytest.param("rules.py", "return rounded(", "return _scaled(", id="called imported name"),
        pytest.param("rules.py", "import json\n", "import yaml as json\n", id="foreign module"),
        pytest.param("rules.py", "discount as", "rounded as", id="imported name"),
        pytest.param("rules.py", "        case other", "        case Item()", id="pattern"),
        pytest.param("rules.py", "class Item", "class Goods", id="class"),
        pytest.param("rules.py", "def names", "def titles", id="public function"),
        pytest.param("prices.py", "// 2", "// 3", id="imported module"),
        pytest.param("limits.py", "20", "21", id="module imported by an imported module"),
        pytest.param("tables.sql", "text NOT NULL", "text", id="SQL"),
        pytest.param("tables.sql", "-- none", "-- some", id="string in SQL"),
    ],
)
def test_code_that_may_do_something_else_has_another_version(
    shop: Shop, file: str, old: str, new: str
) -> None:
    assert shop.version(edited(file, old, new)) != shop.version(SHOP)


def test_moved_and_renamed_modules_keep_the_version(shop: Shop) -> None:
    moved = {
        "__init__.py": "",
        "room/__init__.py": '"""A room."""',
        "room/checkout.py": RULES.replace("shop.prices", "shop.room.rounding").replace(
            "from shop import taxes", "from shop.room import duties as taxes"
        ),
        "room/rounding.py": PRICES,
        "room/duties.py": TAXES.replace("shop.limits", "shop.highest"),
        "highest.py": SHOP["limits.py"],
        "tables.sql": SHOP["tables.sql"],
    }
    assert shop.version(moved, "shop.room.checkout") == shop.version(SHOP)


@pytest.mark.parametrize(
    "statement",
    [
        "from .prices import rounded",
        "from shop.prices import *",
        "from shop.prices import _secret",
        "import shop.prices",
    ],
)
def test_an_import_that_cannot_be_followed_is_refused(shop: Shop, statement: str) -> None:
    with pytest.raises(ValueError, match="import"):
        shop.version(SHOP | {"rules.py": statement})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(
            "def f(a):\n    def g():\n        max = 3\n    return max(a)",
            "def f(a):\n    def g():\n        min = 3\n    return min(a)",
            id="a local variable that hides a builtin function",
        ),
        pytest.param(
            "_a = 1\n_b = 2\ndef f(_a):\n    return _a",
            "_b = 1\n_a = 2\ndef f(_a):\n    return _b",
            id="a parameter that hides a private constant",
        ),
        pytest.param(
            "a = 1\nb = 2\ndef f():\n    def g():\n        a = 3\n    return a",
            "a = 1\nb = 2\ndef f():\n    def g():\n        b = 3\n    return b",
            id="a local variable that hides a constant",
        ),
        pytest.param(
            "def f():\n    a = 1\n    def g(a):\n        return a\n    return g",
            "def f():\n    b = 1\n    def g(a):\n        return b\n    return g",
            id="a parameter that hides a local variable",
        ),
        pytest.param(
            "def f(a):\n    b = 1\n    return {**locals()}",
            "def f(a):\n    c = 1\n    return {**locals()}",
            id="names that are read",
        ),
        pytest.param("x = {**a, None: b}", "x = {None: a, **b}", id="a None that is syntax"),
        pytest.param("f(a=1, b=2)", "f(b=1, a=2)", id="names of arguments"),
        pytest.param("__all__ = ['a']", "__some__ = ['a']", id="names with a meaning"),
    ],
)
def test_a_name_is_numbered_only_where_that_hides_nothing(one: str, other: str) -> None:
    assert syntax_of(ast.parse(one)) != syntax_of(ast.parse(other))


def test_versions_do_not_depend_on_optimization() -> None:
    program = (
        "from projections.version import CODE_VERSION as c\n"
        "from worker.sync.fold_version import FOLD_VERSION as f\n"
        "print(c, f)"
    )
    told = subprocess.run(
        [sys.executable, "-OO", "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert told.stdout.split() == [CODE_VERSION, FOLD_VERSION]


@pytest.mark.parametrize("modules", [FOLD_MODULES, PROJECTION_MODULES])
def test_everything_that_decides_is_hashed(modules: tuple[str, ...]) -> None:
    """An import from any of our packages is followed, and upcasters are among the modules."""
    ours = set(
        tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
            "root_packages"
        ]
    )
    code = Code(ours)
    for module in modules:
        code.digest(module)
    followed = {module.partition(".")[0] for module in modules}

    assert {module.partition(".")[0] for module in code.digests} == followed
    assert {"contracts.codec", "contracts.events", "contracts.messages"} <= set(code.digests)
