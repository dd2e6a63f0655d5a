"""New plugins, written from templates."""

from vrtspike.scaffolding.kinds import KINDS
from vrtspike.scaffolding.writing import write_plugin

__all__ = ['KINDS', 'write_plugin']
