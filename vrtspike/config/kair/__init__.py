"""Options of KAIR and of S-VRT (JSON with comments, or YAML), translated into overrides of this project's baseline.

:mod:`~vrtspike.config.kair.table` lists the rule of every key. The rules are defined in
:mod:`~vrtspike.config.conversion.rules` and :mod:`~vrtspike.config.kair.sections`.
"""

from vrtspike.config.kair.conversion import convert_options
from vrtspike.config.kair.reading import is_options, read_options

__all__ = ['convert_options', 'is_options', 'read_options']
