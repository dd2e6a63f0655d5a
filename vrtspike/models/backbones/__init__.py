"""Networks that restore clips."""

from vrtspike.models.backbones.residual_cnn import ResidualCNN
from vrtspike.models.backbones.vrt import VRT
from vrtspike.models.backbones.vrt_lite import VRTLite

__all__ = ['VRT', 'ResidualCNN', 'VRTLite']
