"""Translates options key by key."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Any

from vrtspike.config.conversion.rules import Conversion
from vrtspike.config.conversion.values import Flat, flatten
from vrtspike.config.kair.reading import Options, phases_of
from vrtspike.config.kair.table import DEFAULTS, FIXED, RULES, SILENT
from vrtspike.errors import ConfigError, listed

SECRET = re.compile(r'(api_?key|token|secret|password)$', re.IGNORECASE)
ABSOLUTE = re.compile(r'[/~\\]|[A-Za-z]:[/\\]')


def convert_options(options: Options) -> list[Conversion]:
    """Translate options of KAIR or S-VRT into one :class:`Conversion` for each phase of the training.

    Secrets and absolute paths are never copied. Keys without a counterpart are listed in ``left_out`` with what to use
    instead.

    Raises:
        ConfigError: The network is no VRT, or values are of a wrong type; all of them are listed.
    """
    conversions = [_converted(phase) for phase in phases_of(options)]
    for later in conversions[1:]:
        _switch_off_hooks(conversions[0], later)
    return conversions


def _switch_off_hooks(first: Conversion, later: Conversion) -> None:
    """Let a phase, whose config inherits that of the first, not inherit hooks that are the first one's alone."""
    for key in first.overrides:
        if key.startswith('default_hooks.'):
            later.overrides.setdefault(key, None)
    later.notes.append('phase 2 begins with a fresh optimizer and learning-rate schedule')


def _converted(options: Options) -> Conversion:
    flat = dict(flatten(options))
    conversion = Conversion(overrides=dict(FIXED))
    problems = []
    for key, value in flat.items():
        try:
            _convert(key, value, conversion, flat)
        except ConfigError as error:
            problems.append(f'{key}: {error}')
    if problems:
        raise ConfigError(listed(problems))
    conversion.drop_defaults(DEFAULTS)
    conversion.left_out = list(dict.fromkeys(conversion.left_out))
    return conversion


def _convert(key: str, value: Any, conversion: Conversion, flat: Flat) -> None:
    if SECRET.search(key):
        if value:
            conversion.left_out.append(f'{key}: a secret, not copied; keep it out of files (W&B: run `wandb login`)')
    elif key in RULES:
        RULES[key](key, value, conversion, flat)
    elif isinstance(value, str) and ABSOLUTE.match(value) and not is_silent(key):
        conversion.left_out.append(f'{key}: no counterpart, and an absolute path, which is not copied')
    elif not is_silent(key):
        conversion.left_out.append(f'{key}: no counterpart')


def is_silent(key: str) -> bool:
    """Return whether a key without a rule needs no word."""
    return any(fnmatchcase(key, pattern) for pattern in SILENT)
