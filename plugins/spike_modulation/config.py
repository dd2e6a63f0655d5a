"""The tiny network with spikes that modulate its RGB features.

python tools/train.py plugins/spike_modulation/config.py
"""

_base_ = '../../configs/vrt_spike_tiny.py'
plugins = ['spike_modulation']
model = dict(fusion=dict(_delete_=True, type='SpikeModulation'))
