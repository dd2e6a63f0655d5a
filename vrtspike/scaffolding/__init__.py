"""Writes new plugins from the templates in ``templates/``."""

from vrtspike.scaffolding.writing import KINDS, write_plugin
