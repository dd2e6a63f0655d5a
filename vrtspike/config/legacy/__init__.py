"""YAML configs of the earlier VRT-Spike code, translated into overrides of this project's baseline.

:mod:`~vrtspike.config.legacy.table` lists the rule of every key. The rules are defined in
:mod:`~vrtspike.config.conversion.rules` and :mod:`~vrtspike.config.legacy.sections`.
"""

from vrtspike.config.legacy.conversion import convert_legacy
from vrtspike.config.legacy.reading import read_legacy
from vrtspike.config.legacy.table import DEFAULTS, RULES

__all__ = ['DEFAULTS', 'RULES', 'convert_legacy', 'read_legacy']
