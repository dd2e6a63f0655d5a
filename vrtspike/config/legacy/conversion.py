"""Translates a whole config, key by key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vrtspike.config.conversion.rules import Conversion
from vrtspike.config.conversion.values import flatten
from vrtspike.config.legacy.table import DEFAULTS, RULES
from vrtspike.errors import ConfigError, did_you_mean, listed


def convert_legacy(legacy: Mapping[str, Any]) -> Conversion:
    """Translate a legacy config.

    Raises:
        ConfigError: Lists every key that the old code did not know and every value that it would not have accepted.
    """
    flat = dict(flatten(legacy))
    problems = [f'{key}: unknown key{did_you_mean(key, RULES)}' for key in flat if key not in RULES]
    conversion = Conversion()
    for key in (key for key in flat if key in RULES):
        try:
            RULES[key](key, flat[key], conversion, flat)
        except ConfigError as error:
            problems.append(f'{key}: {error}')
    if problems:
        raise ConfigError(listed(problems))
    _drop_settings_of_unused_fusion(conversion)
    conversion.drop_defaults(DEFAULTS)
    return conversion


def _drop_settings_of_unused_fusion(conversion: Conversion) -> None:
    unused = [key for key in conversion.overrides if key.startswith('model.fusion.')]
    if unused and 'model.fusion' in conversion.overrides:
        for key in unused:
            del conversion.overrides[key]
        conversion.left_out.append('MODEL.FUSE: without spikes nothing is fused')
