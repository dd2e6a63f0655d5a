"""Networks that restore clips."""

from vrtspike.models.backbones.vrt import VRT

__all__ = ['VRT']
