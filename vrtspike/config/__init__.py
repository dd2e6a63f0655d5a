"""Configs: reading with inheritance and overrides, and checking against the signatures of what they name."""

from vrtspike.config.loading import load_config
from vrtspike.config.reading import read_config
from vrtspike.config.validation import Findings, check_config

__all__ = ['Findings', 'check_config', 'load_config', 'read_config']
