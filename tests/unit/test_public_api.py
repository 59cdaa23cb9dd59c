from __future__ import annotations

import ast
from pathlib import Path

import pytest

import mlgym_core


def _declared_for_type_checkers() -> set[tuple[str, str]]:
    """Return (module, name) of each import in the TYPE_CHECKING block."""
    tree = ast.parse(Path(mlgym_core.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert len(imports) == len(block.body)
    for alias in (alias for node in imports for alias in node.names):
        assert alias.asname == alias.name, f"mypy exports {alias.name} only if it is imported as itself"
    return {(str(node.module), alias.name) for node in imports for alias in node.names}


def test_type_checkers_and_programs_see_the_same_names() -> None:
    assert _declared_for_type_checkers() == {(module, name) for name, module in mlgym_core._MODULE_OF.items()}


@pytest.mark.parametrize("name", sorted(mlgym_core._MODULE_OF))
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(mlgym_core, name) is not None
    assert name in dir(mlgym_core)


def test_the_contract_is_there() -> None:
    assert {"make", "make_async", "TaskSpec", "hookimpl", "EpisodeOver", "Task", "Agent", "Tool"} <= set(
        dir(mlgym_core)
    )


def test_other_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        mlgym_core.no_such_name  # noqa: B018
