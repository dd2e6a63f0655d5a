"""The tiny network with the strength of its fusion heads in the log.

python tools/train.py plugins/fusion_strength/config.py
"""

_base_ = '../../configs/vrt_spike_tiny.py'
plugins = ['fusion_strength']
default_hooks = dict(fusion_strength=dict(type='FusionStrengthHook', interval=50))
