"""Contracts: what every part of a registry must have. They are checked when a part is built."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mmengine.registry import Registry as MMEngineRegistry

from vrtspike.errors import RegistryError, did_you_mean


@dataclass(frozen=True)
class Contract:
    """The interface that every part of one registry has.

    Args:
        text: Inputs and outputs with their shapes; ``tools/list_modules.py`` prints it.
        arguments: Names that the part's ``forward`` (or ``__call__``) accepts, in order.
        attributes: Attributes that a built part has.
    """

    text: str
    arguments: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()

    def violations(self, part: Any) -> list[str]:
        """Return what ``part`` lacks, one phrase each; empty if it meets the contract."""
        found = self.attributes_missing_from(part)
        if self.arguments:
            call = getattr(part, 'forward', part)
            if not callable(call) or getattr(call, '__name__', '') == '_forward_unimplemented':
                return [*found, 'it cannot be called']
            missing = self.arguments_missing_from(call)
            if missing:
                found.append(f'{getattr(call, "__name__", "call")}() takes no {", ".join(map(repr, missing))}')
        return found

    def attributes_missing_from(self, part: Any) -> list[str]:
        """Return the ``attributes`` that ``part``, an object or a class, lacks, one phrase each."""
        return [f"no attribute '{name}'" for name in self.attributes if not hasattr(part, name)]

    def arguments_missing_from(self, call: Callable) -> list[str]:
        """Return the ``arguments`` that ``call`` does not accept."""
        parameters = inspect.signature(call).parameters
        kinds = {parameter.kind for parameter in parameters.values()}
        if inspect.Parameter.VAR_KEYWORD in kinds or inspect.Parameter.VAR_POSITIONAL in kinds:
            return []
        return [name for name in self.arguments if name not in parameters]


class Registry(MMEngineRegistry):
    """MMEngine's registry with a contract, suggestions for unknown names and all-or-nothing registration.

    The contract is checked on what :meth:`build` returns. MMEngine's Runner builds parts through the parent registry,
    without this check, so a registry with a parent also checks the attributes of each class when it is registered.

    Args:
        name: What its parts are called in messages.
        package: The package whose import registers our own parts.
        contract: What every part has.
        parent: MMEngine's registry, if it has one for these parts.
    """

    def __init__(self, name: str, package: str, contract: Contract, parent: MMEngineRegistry | None = None) -> None:
        super().__init__(name, scope='vrtspike', locations=[package], parent=parent)
        self.contract = contract

    def __contains__(self, key: str) -> bool:
        try:
            return self.get(key) is not None
        except RegistryError:
            return False

    def names(self) -> list[str]:
        """Return the registered names, sorted, including those of this package's own modules."""
        self.import_from_location()
        return sorted(self.module_dict)

    def get(self, key: str) -> Any:
        """Return the class registered as ``key``, or raise :class:`RegistryError` with the nearest names."""
        self.import_from_location()  # outside the try: an error in our own modules is not an unknown name
        return find(super().get, key, self)

    def build(self, cfg: dict, *args: Any, **kwargs: Any) -> Any:
        """Build the part that ``cfg['type']`` names and check it against the contract."""
        part = super().build(cfg, *args, **kwargs)
        violations = self.contract.violations(part)
        if violations:
            raise RegistryError(self._broken(type(part).__name__, violations))
        return part

    def _register_module(self, module: Any, module_name: Any = None, force: bool = False) -> None:
        names = [module_name or module.__name__] if not isinstance(module_name, (list, tuple)) else list(module_name)
        taken = [name for name in names if name in self.module_dict and self.module_dict[name] is not module]
        if taken and not force:
            owners = ', '.join(f"'{name}' of {self.module_dict[name].__module__}" for name in taken)
            raise RegistryError(
                f'{self.name} {owners} already exists; give {module.__module__}.{module.__name__} another name'
            )
        checked = self.parent is not None and inspect.isclass(module)  # an empty parent is falsy
        lacking = self.contract.attributes_missing_from(module) if checked else []
        if lacking:
            raise RegistryError(self._broken(module.__name__, lacking))
        super()._register_module(module, names, force=True)

    def _broken(self, name: str, violations: list[str]) -> str:
        return f"{self.name} '{name}' breaks its contract: {'; '.join(violations)}. Expected: {self.contract.text}"


def find(get: Callable[[str], Any], key: str, registry: MMEngineRegistry) -> Any:
    """Return ``get(key)``, or raise :class:`RegistryError` with the nearest names of ``registry``.

    For an unknown name, MMEngine's own lookup returns None or a module of that name, or raises RuntimeError.
    """
    try:
        part = get(key)
    except RuntimeError:
        part = None
    if part is None or inspect.ismodule(part):
        raise RegistryError(f"no {registry.name} is called '{key}'{did_you_mean(key, known_names(registry))}")
    return part


def known_names(registry: MMEngineRegistry) -> list[str]:
    """Return every name that a lookup in ``registry`` finds, sorted, including those of its parents."""
    registry.import_from_location()
    inherited = known_names(registry.parent) if registry.parent is not None else []
    return sorted({*registry.module_dict, *inherited})
