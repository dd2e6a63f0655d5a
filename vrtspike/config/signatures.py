"""Finds all keyword arguments of a class, following ``**kwargs`` to its base classes.

Example:
    >>> class Base:
    ...     def __init__(self, width, depth=2): ...
    >>> class Child(Base):
    ...     def __init__(self, heads, **kwargs):
    ...         super().__init__(width=8, **kwargs)
    >>> keys_of(Child)
    Keys(names=('heads', 'depth'), required=('heads',), any_key_of='')
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

BY_KEY = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class Keys:
    """The keyword arguments of one callable.

    Args:
        names: Every name it takes, in order.
        required: Those without a default.
        any_key_of: Name of the class or function with ``**kwargs`` that could not be followed, so that other names may
            be valid too; empty if ``names`` is complete.
    """

    names: tuple[str, ...]
    required: tuple[str, ...] = ()
    any_key_of: str = ''


@dataclass(frozen=True)
class _Given:
    """What a subclass passes to the next constructor besides its ``**kwargs``."""

    positional: int = 0
    keywords: frozenset[str] = frozenset()


@functools.cache
def keys_of(part: Callable) -> Keys:
    """Return the keyword arguments that ``part``, a class or a function, takes."""
    if not inspect.isclass(part):
        return _keys_of_call(part)
    found = list(constructors(part))
    return _keys_along(found) if found or part.__new__ is object.__new__ else _keys_of_call(part)


def _keys_of_call(call: Callable) -> Keys:
    try:
        parameters = list(inspect.signature(call).parameters.values())
    except ValueError:  # builtins without a signature
        return Keys((), (), getattr(call, '__name__', str(call)))
    found = {parameter.name: _is_required(parameter) for parameter in parameters if parameter.kind in BY_KEY}
    return _keys(found, getattr(call, '__name__', str(call)) if _kwargs_name(parameters) else '')


def constructors(cls: type) -> Iterator[tuple[type, Callable]]:
    """Yield (owner, ``__init__``) along the MRO, up to the first class with a constructor without arguments."""
    for owner in cls.__mro__:
        # torch's Module declares **kwargs only to reject them.
        if owner is object or (owner.__module__, owner.__name__) == ('torch.nn.modules.module', 'Module'):
            return
        if '__init__' in vars(owner):
            yield owner, vars(owner)['__init__']


def _keys_along(calls: list[tuple[type, Callable]]) -> Keys:
    found: dict[str, bool] = {}
    given = _Given()
    for owner, init in calls:
        try:
            parameters = list(inspect.signature(init).parameters.values())[1:]
        except ValueError:
            return _keys(found, owner.__name__)
        for parameter in _not_given(parameters, given):
            found.setdefault(parameter.name, _is_required(parameter))
        kwargs_name = _kwargs_name(parameters)
        if kwargs_name is None:
            return _keys(found)
        passed_on = _super_call(init, kwargs_name, surplus=_surplus(parameters, given))
        if passed_on is None:
            return _keys(found, owner.__name__)
        given = passed_on
    return _keys(found)


def _keys(found: dict[str, bool], any_key_of: str = '') -> Keys:
    return Keys(tuple(found), tuple(name for name, required in found.items() if required), any_key_of)


def _is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is inspect.Parameter.empty


def _kwargs_name(parameters: list[inspect.Parameter]) -> str | None:
    return next((p.name for p in parameters if p.kind is inspect.Parameter.VAR_KEYWORD), None)


def _not_given(parameters: list[inspect.Parameter], given: _Given) -> list[inspect.Parameter]:
    """Return the parameters that the subclass leaves to its caller."""
    positional = [parameter for parameter in parameters if parameter.kind in POSITIONAL]
    taken = {parameter.name for parameter in positional[: given.positional]} | given.keywords
    return [parameter for parameter in parameters if parameter.kind in BY_KEY and parameter.name not in taken]


def _surplus(parameters: list[inspect.Parameter], given: _Given) -> int:
    """Return how many positional arguments are passed on in ``*args``."""
    return max(0, given.positional - sum(parameter.kind in POSITIONAL for parameter in parameters))


def _super_call(init: Callable, kwargs_name: str, surplus: int) -> _Given | None:
    """Return what ``init`` passes on, if its use of ``**kwargs`` is ``super().__init__(..., **kwargs)``, else None."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(init)))
    except (OSError, TypeError, SyntaxError):
        return None
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == kwargs_name]
    calls = [node for node in ast.walk(tree) if _is_super_init(node) and _passes(node, kwargs_name)]
    if len(uses) != 1 or len(calls) != 1:
        return None
    starred = any(isinstance(argument, ast.Starred) for argument in calls[0].args)
    plain = sum(not isinstance(argument, ast.Starred) for argument in calls[0].args)
    keywords = frozenset(keyword.arg for keyword in calls[0].keywords if keyword.arg)
    return _Given(plain + (surplus if starred else 0), keywords)


def _is_super_init(node: Any) -> bool:
    """Whether ``node`` is a call of ``super().__init__`` or ``super(Class, self).__init__``."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == '__init__'):
        return False
    owner = node.func.value
    return isinstance(owner, ast.Call) and isinstance(owner.func, ast.Name) and owner.func.id == 'super'


def _passes(call: ast.Call, kwargs_name: str) -> bool:
    return any(
        keyword.arg is None and isinstance(keyword.value, ast.Name) and keyword.value.id == kwargs_name
        for keyword in call.keywords
    )
