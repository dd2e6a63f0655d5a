"""Keeps hooks that only observe from ending a training: an error becomes one warning that names what is missing."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from types import MethodType
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import MMLogger, print_log
from mmengine.runner import Runner
from mmengine.visualization import BaseVisBackend, Visualizer

from vrtspike.errors import describe

BACKEND_METHODS = ('add_config', 'add_graph', 'add_image', 'add_scalar', 'add_scalars', 'close')


class ObservingHook(Hook):
    """Base class of hooks that only observe a training. An error in one of their events is logged, once per hook.

    An event that could not write a file is tried again next time, because a full disk may have space again. After any
    other error, or an error in a ``before_...`` event, the hook does nothing more in this run.
    """

    gives = 'its output'
    """What a run lacks if the hook fails, for the warning."""
    unguarded: tuple[str, ...] = ()
    """Events that a subclass guards itself with :meth:`observe`, because all processes must take part in them."""

    failed = switched_off = False

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Guard the events that the subclass defines."""
        super().__init_subclass__(**arguments)
        for event in Hook.stages:
            if event in vars(cls) and event not in cls.unguarded:
                setattr(cls, event, _guarded(vars(cls)[event]))

    def observe(self, runner: Runner, event: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        """Call a method of this hook, unless the hook is switched off, and turn an error into a warning."""
        if self.switched_off:
            return
        try:
            event(*args, **kwargs)
        except Exception as error:
            self.switched_off = not isinstance(error, OSError) or event.__name__.startswith('before_')
            if not self.failed:
                runner.logger.warning(
                    f'{type(self).__name__} failed ({describe(error)}): this run lacks {self.gives}. The training '
                    'continues.'
                )
            self.failed = True
            if self.switched_off:
                with suppress(Exception):
                    self.close()

    def close(self) -> None:
        """Release the resources of the hook. Called when it is switched off."""


def _guarded(event: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(event)
    def call(self: ObservingHook, runner: Runner, *args: Any, **kwargs: Any) -> None:
        self.observe(runner, MethodType(event, self), runner, *args, **kwargs)

    return call


def guard_backends(visualizer: Visualizer) -> None:
    """Turn errors of a visualizer's backends, such as TensorBoard, into one warning per backend.

    A backend that could not start is not used again: W&B would wait for its server in every iteration.
    """
    for backend in visualizer._vis_backends.values():
        guard = _BackendGuard(backend)
        for name in BACKEND_METHODS:
            if hasattr(backend, name) and name not in vars(backend):
                setattr(backend, name, functools.partial(guard.call, getattr(backend, name)))


class _BackendGuard:
    def __init__(self, backend: BaseVisBackend) -> None:
        self.backend = backend
        self.failed = self.switched_off = False

    def call(self, method: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        if self.switched_off:
            return
        try:
            method(*args, **kwargs)
        except Exception as error:
            started = getattr(self.backend, '_env_initialized', True)
            self.switched_off = not isinstance(error, OSError) or not started
            if not self.failed:
                print_log(
                    f'{type(self.backend).__name__} failed ({describe(error)}): it lacks scalars or pictures of this '
                    'run. The training continues.',
                    'current',
                    logging.WARNING,
                )
            self.failed = True


def guard_log_files(logger: MMLogger) -> None:
    """If a log file cannot be written, say so once on stderr, without a traceback for every line."""
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handleError = functools.partial(_warn_once, handler)


def _warn_once(handler: logging.FileHandler, record: logging.LogRecord) -> None:
    handler.handleError = lambda record: None
    error = sys.exc_info()[1]
    print(f'warning: {handler.baseFilename} cannot be written: {error}. The training continues.', file=sys.stderr)
