"""Stages of a network that does not mark them: modules named by their paths.

    with NamedStages(model, {'stem': 'backbone.conv1', 'body': 'backbone.layer*', 'attention': '*.attn'}):
        ...  # listeners receive the events of these modules as of marked stages

The marks change neither values nor the graph, so modules may do anything with their inputs and outputs: modify them in
place, return them as they are, nest them. The beginning and the end of a backward pass follow from two facts. Autograd
numbers its nodes as they are created, so a call's own nodes have numbers since it began. And of the nodes that are
ready, autograd runs the one with the highest number first, so the last of a call's nodes to run is the one with the
lowest number of those that its outputs lead to.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from heapq import heapify, heappop, heappush
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.utils._pytree import tree_leaves

from vrtspike.errors import ConfigError, did_you_mean
from vrtspike.profiling.ranges import active_ranges
from vrtspike.profiling.stages import is_observed, notify, part, stage, stage_is_open
from vrtspike.runtime.checkpoint_files import WRAPPERS

Patterns = Mapping[str, str | Sequence[str]]
"""Paths of modules by stage."""

RESERVED = ('data', 'optimizer', 'communication', 'other')
"""Stages of every iteration."""

DEEPEST = 4
"""Levels of unknown objects in which tensors are looked for."""

ACCUMULATES = 2**64 - 1
"""The number of all nodes that add gradients to leaves."""

_LEAF = torch.zeros((), requires_grad=True)


class NamedStages:
    """Sends the events of named modules to the listeners of stages, inside a ``with`` block.

    Without listeners a call of a named module takes as much longer as two calls of an empty function.

    A stage is one or more patterns of module paths, as ``named_modules()`` prints them. ``*`` stands for any characters
    (dots too), ``?`` for one, ``[ab]`` for a or b. Of the modules that a stage matches, those inside another one of it
    add nothing. A ``ModuleList`` or a ``ModuleDict``, which nobody calls, stands for its elements. A module that runs
    inside another stage is a part of that stage: ``body/attention``.

    Args:
        model: Any network.
        patterns: A pattern or several of them by stage.

    Raises:
        ConfigError: A name cannot be that of a stage, a pattern matches nothing, or two stages match one module.
    """

    def __init__(self, model: nn.Module, patterns: Patterns) -> None:
        self._marked = model.cost_stages() if hasattr(model, 'cost_stages') else ()
        self._all = tuple(patterns)
        self._calls = _Calls()
        self._watched = {m: _Watched(name, self._calls) for m, name in _find_modules(model, patterns).items()}
        self._handles: list[Any] = []

    def __enter__(self) -> NamedStages:
        for module, watched in self._watched.items():
            if module._compiled_call_impl is not None:  # its hooks would run inside of its graph
                module._compiled_call_impl = partial(watched.call, module._compiled_call_impl, module)
                continue
            self._handles += [
                module.register_forward_pre_hook(watched.before, with_kwargs=True),
                module.register_forward_hook(watched.after, with_kwargs=True, always_call=True),
            ]
        return self

    def __exit__(self, *exception: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        for module in self._watched:
            if isinstance(module._compiled_call_impl, partial):
                module._compiled_call_impl = module._compiled_call_impl.args[0]

    @property
    def names(self) -> tuple[str, ...]:
        """The stages in the order in which they first ran for listeners, then those that did not run.

        Those that ran as parts of others alone are left out.
        """
        ran = self._calls.ran
        return (*(name for name in ran if ran[name]), *(name for name in self._all if name not in ran))

    def in_network(self) -> tuple[str, ...]:
        """Return these names and the stages that the network marks itself."""
        return (*self.names, *self._marked)

    def limits(self) -> list[str]:
        """Return a sentence for every stage that could not be told apart in the iterations that had listeners."""
        notes = []
        for name in self._all:
            if name not in self._calls.ran:
                notes.append(f'stage {name}: none of its modules was called outside of a compiled graph')
            elif any(each.lost for each in self._watched.values() if each.name == name):
                notes.append(f'stage {name}: its backward pass is in other, because it returned no tensor of it')
        return notes


def _find_modules(model: nn.Module, patterns: Patterns) -> dict[nn.Module, str]:
    """Return the stages by module."""
    if not isinstance(patterns, Mapping):
        raise ConfigError(f"stages={patterns!r}: expected paths of modules by stage, such as {{'stem': 'conv1'}}")
    paths = _paths(model)
    found: dict[nn.Module, str] = {}
    for name, of_stage in patterns.items():
        _check_name(name)
        for module in _matches(name, of_stage if isinstance(of_stage, (list, tuple)) else [of_stage], paths):
            if found.setdefault(module, name) != name:
                raise ConfigError(f'stages: {found[module]!r} and {name!r} both match the module {paths[module]!r}')
    return found


def _paths(model: nn.Module) -> dict[nn.Module, str]:
    """Return the paths of all modules but the network itself, without the names that wrappers add."""
    paths = {
        module: '.'.join(p for p in path.split('.') if p not in WRAPPERS) for path, module in model.named_modules()
    }
    return {module: path for module, path in paths.items() if path}


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not name or '/' in name:
        raise ConfigError(f'stages: {name!r} cannot be the name of a stage; expected text without a slash')
    if name in RESERVED:
        raise ConfigError(f'stages: {name!r} is a stage of every iteration; choose another name')


def _matches(name: str, patterns: Sequence[str], paths: dict[nn.Module, str]) -> Iterator[nn.Module]:
    """Yield the outermost modules that patterns match."""
    within: set[nn.Module] = set()
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise ConfigError(f'stages[{name!r}]: {pattern!r} is no path of a module')
        matched = [module for module, path in paths.items() if fnmatchcase(path, pattern)]
        if not matched:
            raise ConfigError(f'stages[{name!r}]={pattern!r} matches no module{_suggestion(pattern, paths.values())}')
        for module in matched:  # outer modules come before inner ones
            if module not in within:
                within.update(module.modules())
                yield from _callable(module)


def _callable(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the module, or the elements of a list of modules."""
    if isinstance(module, (nn.ModuleList, nn.ModuleDict)):
        for element in module.children():
            yield from _callable(element)
    else:
        yield module


def _suggestion(pattern: str, paths: Iterable[str]) -> str:
    """Return similar paths, with the pattern's star, or the first level of modules."""
    paths = list(paths)
    known = {f'*.{path.rpartition(".")[2]}' for path in paths} if pattern.startswith('*') else set(paths)
    similar = did_you_mean(pattern, known)
    return similar if 'did you mean' in similar else did_you_mean(pattern, {path.partition('.')[0] for path in paths})


class _Watched:
    """Marks the calls of one module.

    Args:
        name: The stage.
        calls: Of all named modules of the network.
    """

    def __init__(self, name: str, calls: _Calls) -> None:
        self.name = name
        self.calls = calls
        self.lost = False
        """Whether a call returned nothing that leads to its nodes, though it has something to train."""
        self._is_part = False

    def before(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        if is_observed():
            self._begin()

    def after(self, module: nn.Module, args: tuple, kwargs: dict, result: Any) -> None:
        if is_observed():
            self._end(module, (result, args, kwargs))

    def call(self, compiled: Callable[..., Any], module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        """Call a compiled module."""
        if not is_observed():
            return compiled(*args, **kwargs)
        result = None
        self._begin()
        try:
            result = compiled(*args, **kwargs)
        finally:
            self._end(module, (result, args, kwargs))
        return result

    def _begin(self) -> None:
        if torch._C._current_graph_task_id() == -1:  # in a recomputation, the stage around it does not run forward
            self._is_part = stage_is_open()
        mark = (part if self._is_part else stage)(self.name)
        self.calls.begin(_Call(self, mark, _next_number()))

    def _end(self, module: nn.Module, values: Any) -> None:
        call = self.calls.close(self)
        if call is None:
            return
        if call.first is not None:
            call.find_outputs(values)
            for ranges in active_ranges():
                for output in call.outputs:
                    ranges.leaves(output)
        call.mark.__exit__()
        if call.first is not None:
            failed = sys.exc_info()[0] is not None
            if not call.outputs and not failed and any(parameter.requires_grad for parameter in module.parameters()):
                self.lost = True
        self.calls.watch_backward(call)


class _Calls:
    """The calls of all named modules of a network."""

    def __init__(self) -> None:
        self.ran: dict[str, bool] = {}
        """Whether a name was that of a stage, not only of a part, in the order in which they first ran."""
        self._open: list[_Call] = []
        self._ended: list[_Call] = []
        """Those inside of the outermost open one."""

    def begin(self, call: _Call) -> None:
        """Begin a call."""
        name = call.watched.name
        self.ran[name] = self.ran.get(name, False) or call.mark.name == name
        self._open.append(call)
        call.mark.__enter__()

    def close(self, watched: _Watched) -> _Call | None:
        """Return the call of a module that ends; None if the listeners came after it had begun."""
        if not self._open or self._open[-1].watched is not watched:
            return None
        return self._open.pop()

    def watch_backward(self, call: _Call) -> None:
        """Hook the nodes of a call and of those inside of it, once the outermost call has ended.

        Where several calls share a node, outer ones begin first and end last.
        """
        self._ended.append(call)
        if self._open:
            return
        for ended in reversed(self._ended):
            ended.watch_beginning()
        for ended in self._ended:
            ended.watch_end()
        self._ended.clear()


class _Call:
    """One call of a named module.

    Args:
        watched: The module.
        mark: Sends the events of the forward pass.
        first: No node of the call has a lower number. None if gradients are off.
    """

    def __init__(self, watched: _Watched, mark: stage, first: int | None) -> None:
        self.watched = watched
        self.mark = mark
        self.first = first
        self.outputs: list[Node] = []
        """The nodes of the tensors that the call computed."""
        self._bases: list[Node | None] = []
        """For outputs that are views, the nodes of their bases."""
        self._lasts: list[Node] = []
        """The nodes that run last when the gradients of the outputs arrive."""
        self._awaited: set[int] = set()
        """The numbers of those nodes, for the gradients that have arrived."""

    def find_outputs(self, values: Any) -> None:
        """Find the tensors that the call computed, in what it returned and in its arguments."""
        for tensor in _tensors(values):
            if self._is_own(tensor.grad_fn) and tensor.grad_fn not in self.outputs:
                self.outputs.append(tensor.grad_fn)
                self._bases.append(tensor._base.grad_fn if tensor._is_view() else None)

    def watch_beginning(self) -> None:
        """Notify the listeners when the first gradient of an output has arrived."""
        self._lasts = self._last_nodes()
        for output, base, last in zip(self.outputs, self._bases, self._lasts, strict=True):
            arrives = partial(self._gradient_arrives, last._sequence_nr())
            output.register_prehook(arrives)
            if self._is_own(base):  # if the view is modified in place, the gradient goes past its node to the base
                base.register_prehook(arrives)

    def watch_end(self) -> None:
        """Notify the listeners when all nodes have run to which the gradients lead."""
        for last in dict.fromkeys(self._lasts):
            last.register_hook(partial(self._node_ran, last._sequence_nr()))
        self.outputs, self._bases, self._lasts = [], [], []  # nodes that refer to themselves would not be freed

    def _gradient_arrives(self, last: int, *_: object) -> None:
        if not self._awaited:
            notify('backward_begins', self.mark.name)
        self._awaited.add(last)

    def _node_ran(self, number: int, *_: object) -> None:
        if number in self._awaited:
            self._awaited.remove(number)
            if not self._awaited:
                notify('backward_ends', self.mark.name)

    def _is_own(self, node: Node | None) -> bool:
        return node is not None and self.first <= node._sequence_nr() < ACCUMULATES

    def _last_nodes(self) -> list[Node]:
        """Return for each output the call's node with the lowest number that it leads to."""
        reached = {node: 1 << i for i, node in enumerate(self.outputs)}  # by which outputs, one bit each
        waiting = [(-node._sequence_nr(), i, node) for i, node in enumerate(self.outputs)]
        visited: list[Node] = []
        heapify(waiting)
        while waiting:
            *_, node = heappop(waiting)
            visited.append(node)
            for following, _ in node.next_functions:
                if not self._is_own(following):
                    continue
                if following not in reached:
                    heappush(waiting, (-following._sequence_nr(), len(reached), following))
                reached[following] = reached.get(following, 0) | reached[node]
        visited.reverse()
        return [next(node for node in visited if reached[node] >> i & 1) for i in range(len(self.outputs))]


def _next_number() -> int | None:
    """Return the number of the next node, or None if gradients are off."""
    return _LEAF.view(()).grad_fn._sequence_nr() + 1 if torch.is_grad_enabled() else None


def _tensors(value: Any, depth: int = DEEPEST) -> Iterator[Tensor]:
    """Yield the tensors in nested containers and in the attributes of other objects."""
    for leaf in tree_leaves(value):
        if isinstance(leaf, Tensor):
            yield leaf
        elif depth and hasattr(leaf, '__dict__') and not isinstance(leaf, (nn.Module, type)) and not callable(leaf):
            yield from _tensors(vars(leaf), depth - 1)
