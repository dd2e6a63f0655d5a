"""Checks a config against the signatures of the classes it names, before anything is built.

Every problem is found in one pass, so that a config can be corrected in one go. Classes are looked up, never built.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from mmengine.registry import Registry

from vrtspike.config.hooks import MMENGINE_HOOKS, REPORTING_HOOKS
from vrtspike.config.schema import (
    NodeSchema,
    evaluator_schema,
    keys_of_part,
    nested_schemas,
    top_level_keys,
    top_level_schemas,
)
from vrtspike.config.signatures import Keys, keys_of
from vrtspike.config.value_types import value_problem
from vrtspike.config.warm_up import BOUNDS
from vrtspike.config.warm_up import KEY as WARM_UP
from vrtspike.contracts import find
from vrtspike.errors import RegistryError, did_you_mean
from vrtspike.registry import REGISTRIES

COMPLETE_OR_ABSENT = (
    ('train_cfg', 'train_dataloader', 'optim_wrapper'),
    ('val_cfg', 'val_dataloader', 'val_evaluator'),
    ('test_cfg', 'test_dataloader', 'test_evaluator'),
)
"""The top-level keys of each loop: all of them are set, or none."""

# Keys that MMEngine reads in every node.
NODE_KEYS = ('type', '_scope_')


@dataclass
class Findings:
    """What a check found.

    Args:
        problems: What is wrong, one line each, beginning with the dotted path of the key.
        notes: What could not be checked, in the same form.
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
    check.hooks()
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
        schemas = top_level_schemas()
        for key, value in self.tree.items():
            if key not in known:
                hint = did_you_mean(key, known)
                self.problem(key, f"no such top-level key{hint}. A config's own variables begin with an underscore")
            elif key in schemas:
                self.check_value(key, value, evaluator_schema() if _is_evaluator(key, value) else schemas[key])
        if self.tree.get('default_scope', 'vrtspike') != 'vrtspike':
            self.problem('default_scope', f"expected 'vrtspike', found {self.tree['default_scope']!r}")
        for keys in COMPLETE_OR_ABSENT:
            given = [key for key in keys if self.tree.get(key) is not None]
            for key in keys if given else ():
                if self.tree.get(key, '') is None:
                    self.problem(key, f'None, although {given[0]} is set: set both, or neither')
        if self.tree.get('model') is None:
            self.problem('model', "missing; a config names its network, as in model = dict(type='SpikeRestorer', ...)")

    def hooks(self) -> None:
        """Check the spelling of disabled hooks, and that no reporting hook runs twice."""
        default, custom = self.tree.get('default_hooks'), self.tree.get('custom_hooks')
        if not isinstance(default, dict):
            return
        present = {name: hook.get('type') for name, hook in default.items() if isinstance(hook, dict)}
        for name in [name for name, hook in default.items() if hook is None and name not in MMENGINE_HOOKS]:
            close = difflib.get_close_matches(name, present, n=1, cutoff=0.85)
            if close:
                self.problem(f'default_hooks.{name}', f"None switches a hook off; did you mean '{close[0]}'?")
        for i, hook in enumerate(custom if isinstance(custom, (list, tuple)) else ()):
            kind = hook.get('type') if isinstance(hook, dict) else None
            names = [name for name, other in present.items() if other == kind and kind in REPORTING_HOOKS.values()]
            if names:
                self.problem(
                    f'custom_hooks.{i}',
                    f'{kind} is already there as default_hooks.{names[0]}: change it under that name',
                )

    def check_value(self, path: str, value: Any, schema: NodeSchema) -> None:
        """Check a value that contains nodes: one node, a list of nodes, or names mapped to nodes."""
        if isinstance(value, (list, tuple)):
            for index, item in enumerate(value):
                if item is None:
                    self.problem(f'{path}.{index}', 'expected dict(...), found None')
                self.check_value(f'{path}.{index}', item, schema)
        elif isinstance(value, dict) and schema.many:
            for name, item in value.items():
                self.check_value(f'{path}.{name}', item, replace(schema, many=False))
        elif isinstance(value, dict) and not self.is_copy_of_data(path, value):
            self.node(path, value, schema)
        elif isinstance(value, (str, int, float)):
            self.problem(path, f'expected dict(...), found {value!r}')

    def is_copy_of_data(self, path: str, value: dict) -> bool:
        """Whether the node is a copy of the top-level ``data``, where its problems are reported once."""
        return path != 'data' and path.endswith('.source') and value == self.tree.get('data')

    def node(self, path: str, node: dict, schema: NodeSchema) -> None:
        if schema.keys:
            self.bind(path, node, schema, path.rpartition('.')[2], Keys(schema.keys))
            self.untyped_children(path, node)
            return
        part = self.part(path, node, schema)
        if part is not None:
            self.bind(path, node, schema, _name(part), keys_of_part(part))
            self.values(path, node, part)
            self.children(path, node, part)

    def part(self, path: str, node: dict, schema: NodeSchema) -> Any:
        """Return what the node will be built from, or None after reporting why that is unknown."""
        kind = node.get('type')
        if kind is None or schema.registry is None:
            part = schema.untyped(node) if schema.untyped else None
            if part is None:
                self.problem(path, _untyped(node, schema))
            return part
        if not isinstance(kind, str):
            if callable(kind):
                return kind
            self.problem(f'{path}.type', f'{kind!r} is not a type; expected the name of a {schema.registry.name}')
            return None
        schema.registry.import_from_location()  # outside the try: an error in our own modules is not a config error
        try:
            return look_up(schema.registry, kind)
        except RegistryError as error:
            self.problem(f'{path}.type', str(error))
            return None

    def bind(self, path: str, node: dict, schema: NodeSchema, name: str, keys: Keys) -> None:
        """Check the node's keys against the arguments that ``name`` takes."""
        supplied = {*_named(schema.filled_in, keys), *schema.fixed}
        not_passed_on = {*schema.removed, *(() if 'type' in node else schema.removed_untyped)}
        accepted = {*keys.names, *not_passed_on}
        read_by_mmengine = NODE_KEYS if schema.registry is not None else ()
        for key in node:
            if key in schema.fixed:
                self.problem(f'{path}.{key}', 'leave it out; it is filled in from the parts around it')
            elif key in accepted or key in read_by_mmengine:
                continue
            elif keys.any_key_of:
                self.note(f'{path}.{key}', f'not checked, since {keys.any_key_of} takes any key')
            else:
                self.problem(f'{path}.{key}', _unknown(path, key, name, accepted - supplied, schema.registry))
        missing = [key for key in (*keys.required, *schema.needs) if key not in node and key not in supplied]
        if missing:
            self.problem(path, f'{name} needs {", ".join(map(repr, dict.fromkeys(missing)))}')

    def values(self, path: str, node: dict, part: Any) -> None:
        """Check the values that are not parts. Those of the warm-up are checked when it is resolved."""
        if path == WARM_UP:
            return
        for key, value in node.items():
            is_checked_elsewhere = _contains_nodes(value) or (key in BOUNDS and isinstance(value, str))
            problem = None if is_checked_elsewhere else value_problem(key, value, part)
            if problem:
                self.problem(f'{path}.{key}', problem)

    def untyped_children(self, path: str, node: dict) -> None:
        """Check the nodes inside a node that is not a constructor call."""
        for key, value in node.items():
            schema = top_level_schemas().get(f'{path}.{key}')
            if schema is not None:
                self.check_value(f'{path}.{key}', value, schema)

    def children(self, path: str, node: dict, part: Any) -> None:
        """Check the parts inside a node."""
        own, filled_in = _declared(part, 'parts'), _declared(part, 'filled_in')
        for key, value in node.items():
            if key == 'paramwise_cfg' and 'constructor' in node:
                self.note(f'{path}.{key}', f'not checked, since {node["constructor"]} reads it')
            elif key in own:
                schema = NodeSchema(own[key]) if own[key] is not None else None
                self.child(f'{path}.{key}', value, schema, filled_in.get(key, ()))
            elif key in nested_schemas():
                self.child(f'{path}.{key}', value, nested_schemas()[key], filled_in.get(key, ()))
            elif _contains_nodes(value):
                declaration = f"parts = {{'{key}': ...}}"
                self.note(f'{path}.{key}', f'not checked; {_name(part)} can declare its registry: {declaration}')

    def child(self, path: str, value: Any, schema: NodeSchema | None, fixed: tuple[str, ...]) -> None:
        if path.endswith('.constructor') and isinstance(value, str):
            value = {'type': value}
        if schema is not None:
            self.check_value(path, value, replace(schema, fixed=fixed))


def look_up(registry: Registry, name: str) -> Any:
    """Return the part registered as ``name`` in ``registry`` or in the MMEngine registry that it extends.

    Raises:
        RegistryError: With the closest known names, or with the other registry that has ``name``.
    """
    try:
        return find(registry.get, name, registry)
    except RegistryError as error:
        elsewhere = next((other for other in REGISTRIES if name in other.module_dict), None)
        if elsewhere is not None:
            raise RegistryError(f"expected a {registry.name}, but '{name}' is a {elsewhere.name}") from error
        raise


def _is_evaluator(key: str, value: Any) -> bool:
    """Whether an evaluator is written in full instead of as its metrics."""
    return key.endswith('_evaluator') and isinstance(value, dict) and 'metrics' in value


def _named(filled_in: Iterable[str | int], keys: Keys) -> list[str]:
    """Return the names of filled-in arguments, which may be given by position."""
    return [keys.names[known] if isinstance(known, int) else known for known in filled_in if keys.names]


def _untyped(node: dict, schema: NodeSchema) -> str:
    """Return the message for a node without a type."""
    if schema.expects:
        return f'expected {schema.expects}; found {node}'
    misspelt = difflib.get_close_matches('type', map(str, node), n=1, cutoff=0.7)
    hint = f"; did you mean 'type' by '{misspelt[0]}'?" if misspelt else ''
    return f"no 'type', which names the {schema.registry.name}{hint}"


def _unknown(path: str, key: str, name: str, known: set[str], registry: Registry | None) -> str:
    text = f"{name} takes no '{key}'{did_you_mean(key, known) if known else '; it takes no keys'}"
    owners = _owners_of(key, registry)
    if owners:
        text += f'. {owners[0]} takes it: if it was inherited along with another type, set _delete_=True in {path}'
    return text


def _owners_of(key: str, registry: Registry | None) -> list[str]:
    """Return the names of the registry's classes that take ``key``."""
    if registry is None:
        return []
    return [name for name, part in sorted(registry.module_dict.items()) if key in keys_of(part).names]


def _declared(part: Any, attribute: str) -> dict:
    """Return what a class declares about its parts; see :mod:`vrtspike.config.schema`."""
    declared = getattr(part, attribute, None)
    return declared if isinstance(declared, dict) else {}


def _contains_nodes(value: Any) -> bool:
    items = value if isinstance(value, (list, tuple)) else [value]
    return any(isinstance(item, dict) and isinstance(item.get('type'), str) for item in items)


def _name(part: Any) -> str:
    return getattr(part, '__name__', str(part))
