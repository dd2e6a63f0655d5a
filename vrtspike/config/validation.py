"""Checks a config against the signatures of the classes it names, before anything is built.

Every problem is found in one pass, so that a config is mended in one go. Nothing is built; classes are only looked up.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from mmengine.registry import Registry

from vrtspike.config.schema import (
    Place,
    evaluator_place,
    keys_of_part,
    nested_places,
    top_level_keys,
    top_level_places,
)
from vrtspike.config.signatures import Keys, keys_of
from vrtspike.contracts import find
from vrtspike.errors import RegistryError, did_you_mean
from vrtspike.registry import REGISTRIES

# Keys that MMEngine itself reads in any node.
NODE_KEYS = ('type', '_scope_')


@dataclass
class Findings:
    """What a check found.

    Args:
        problems: What is wrong, one line each, beginning with the dotted path of the key.
        notes: What could not be checked, likewise.
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check_config(config: Any) -> Findings:
    """Return every unknown key, missing argument and unknown type of ``config``.

    Args:
        config: A resolved MMEngine ``Config`` or a plain dict.
    """
    import mmengine.runner  # noqa: F401  registers MMEngine's own parts

    tree = config if type(config) is dict else config.to_dict()
    check = _Check(tree)
    check.top_level()
    return check.findings


class _Check:
    def __init__(self, tree: dict) -> None:
        self.tree = tree
        self.findings = Findings()

    def problem(self, path: str, text: str) -> None:
        self.findings.problems.append(f'{path}: {text}')

    def note(self, path: str, text: str) -> None:
        self.findings.notes.append(f'{path}: {text}')

    def top_level(self) -> None:
        known = top_level_keys()
        places = top_level_places()
        for key, value in self.tree.items():
            if key not in known:
                hint = did_you_mean(key, known)
                self.problem(key, f"no such top-level key{hint}. A config's own variables begin with an underscore")
            elif key in places and isinstance(value, (str, int, float)):
                self.problem(key, f'expected dict(...), found {value!r}')
            elif key in places:
                self.place(key, value, evaluator_place() if _is_evaluator(key, value) else places[key])
        if 'model' not in self.tree:
            self.problem('model', "missing; a config names its network, as in model = dict(type='SpikeRestorer', ...)")

    def place(self, path: str, value: Any, place: Place) -> None:
        """Check what stands at a place: a node, a list of nodes, or names mapped to nodes."""
        if isinstance(value, (list, tuple)):
            for index, item in enumerate(value):
                self.place(f'{path}.{index}', item, place)
        elif isinstance(value, dict) and place.many:
            for name, item in value.items():
                self.place(f'{path}.{name}', item, replace(place, many=False))
        elif isinstance(value, dict) and not self.is_copy_of_data(path, value):
            self.node(path, value, place)

    def is_copy_of_data(self, path: str, value: dict) -> bool:
        """Whether the node repeats the top-level ``data``, whose problems are reported once, there."""
        return path != 'data' and path.endswith('.source') and value == self.tree.get('data')

    def node(self, path: str, node: dict, place: Place) -> None:
        if place.keys:
            self.bind(path, node, place, path.rpartition('.')[2], Keys(place.keys))
            self.untyped_children(path, node)
            return
        part = self.part(path, node, place)
        if part is not None:
            self.bind(path, node, place, _name(part), keys_of_part(part))
            self.children(path, node, part)

    def part(self, path: str, node: dict, place: Place) -> Any:
        """Return what the node will be built from, or None after reporting why that is unknown."""
        kind = node.get('type')
        if kind is None or place.registry is None:
            part = place.untyped(node) if place.untyped else None
            if part is None:
                self.problem(path, _untyped(node, place))
            return part
        if not isinstance(kind, str):
            if callable(kind):
                return kind
            self.problem(f'{path}.type', f'{kind!r} is no type; expected the name of a {place.registry.name}')
            return None
        place.registry.import_from_location()  # outside the try: an error in our own modules is not the config's
        try:
            return look_up(place.registry, kind)
        except RegistryError as error:
            self.problem(f'{path}.type', str(error))
            return None

    def bind(self, path: str, node: dict, place: Place, name: str, keys: Keys) -> None:
        """Check the node's keys against the arguments that ``name`` takes."""
        supplied = {*_named(place.filled_in, keys), *place.fixed}
        not_passed_on = {*place.taken_out, *(() if 'type' in node else place.taken_out_untyped)}
        accepted = {*keys.names, *not_passed_on}
        read_by_mmengine = NODE_KEYS if place.registry is not None else ()
        for key in node:
            if key in place.fixed:
                self.problem(f'{path}.{key}', 'leave it out; it is filled in from the parts around it')
            elif key in accepted or key in read_by_mmengine:
                continue
            elif keys.any_key_of:
                self.note(f'{path}.{key}', f'not checked, since {keys.any_key_of} takes any key')
            else:
                self.problem(f'{path}.{key}', _unknown(path, key, name, accepted - supplied, place.registry))
        missing = [key for key in (*keys.required, *place.needs) if key not in node and key not in supplied]
        if missing:
            self.problem(path, f'{name} needs {", ".join(map(repr, dict.fromkeys(missing)))}')

    def untyped_children(self, path: str, node: dict) -> None:
        """Check the nodes inside a node that is no constructor's call."""
        for key, value in node.items():
            place = top_level_places().get(f'{path}.{key}')
            if place is not None:
                self.place(f'{path}.{key}', value, place)

    def children(self, path: str, node: dict, part: Any) -> None:
        """Check the parts inside a node."""
        own, filled_in = _declared(part, 'parts'), _declared(part, 'filled_in')
        for key, value in node.items():
            if key == 'paramwise_cfg' and 'constructor' in node:
                self.note(f'{path}.{key}', f'not checked, since {node["constructor"]} reads it')
            elif key in own:
                place = Place(own[key]) if own[key] is not None else None
                self.child(f'{path}.{key}', value, place, filled_in.get(key, ()))
            elif key in nested_places():
                self.child(f'{path}.{key}', value, nested_places()[key], filled_in.get(key, ()))
            elif _holds_nodes(value):
                declaration = f"parts = {{'{key}': ...}}"
                self.note(f'{path}.{key}', f'not checked; {_name(part)} can declare its registry: {declaration}')

    def child(self, path: str, value: Any, place: Place | None, fixed: tuple[str, ...]) -> None:
        if path.endswith('.constructor') and isinstance(value, str):
            value = {'type': value}
        if place is not None:
            self.place(path, value, replace(place, fixed=fixed))


def look_up(registry: Registry, name: str) -> Any:
    """Return what ``name`` stands for in ``registry``, one of ours or of MMEngine's.

    Raises:
        RegistryError: Naming the nearest names, and the registry that does know ``name``.
    """
    try:
        return find(registry.get, name, registry)
    except RegistryError as error:
        elsewhere = next((other for other in REGISTRIES if name in other.module_dict), None)
        if elsewhere is not None:
            raise RegistryError(f"expected a {registry.name}, but '{name}' is a {elsewhere.name}") from error
        raise


def _is_evaluator(key: str, value: Any) -> bool:
    """Whether an evaluator is written out, rather than given as its metrics."""
    return key.endswith('_evaluator') and isinstance(value, dict) and 'metrics' in value


def _named(filled_in: Iterable[str | int], keys: Keys) -> list[str]:
    """Return the names of filled-in arguments, some of which are given by position."""
    return [keys.names[known] if isinstance(known, int) else known for known in filled_in if keys.names]


def _untyped(node: dict, place: Place) -> str:
    """Say what a node that names nothing should name."""
    if place.expects:
        return f'expected {place.expects}; found {node}'
    misspelt = difflib.get_close_matches('type', map(str, node), n=1, cutoff=0.7)
    hint = f"; did you mean 'type' by '{misspelt[0]}'?" if misspelt else ''
    return f"no 'type', which names the {place.registry.name}{hint}"


def _unknown(path: str, key: str, name: str, known: set[str], registry: Registry | None) -> str:
    text = f"{name} takes no '{key}'{did_you_mean(key, known) if known else '; it takes no keys'}"
    owners = _owners_of(key, registry)
    if owners:
        text += f'. {owners[0]} takes it: if it was inherited along with another type, say _delete_=True in {path}'
    return text


def _owners_of(key: str, registry: Registry | None) -> list[str]:
    """Return the names of the registry's classes that do take ``key``."""
    if registry is None:
        return []
    return [name for name, part in sorted(registry.module_dict.items()) if key in keys_of(part).names]


def _declared(part: Any, attribute: str) -> dict:
    """Return what a class declares about its parts; see :mod:`vrtspike.config.schema`."""
    declared = getattr(part, attribute, None)
    return declared if isinstance(declared, dict) else {}


def _holds_nodes(value: Any) -> bool:
    items = value if isinstance(value, (list, tuple)) else [value]
    return any(isinstance(item, dict) and isinstance(item.get('type'), str) for item in items)


def _name(part: Any) -> str:
    return getattr(part, '__name__', str(part))
