"""The tiny network with temporal shifts instead of attention along time over its spike features.

python tools/train.py plugins/temporal_shift/config.py
"""

_base_ = '../../configs/vrt_spike_tiny.py'
plugins = ['temporal_shift']
model = dict(tsa=dict(_delete_=True, type='TemporalShift'))
