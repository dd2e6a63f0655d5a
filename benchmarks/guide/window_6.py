"""The baseline with windows of 6, and nothing else.

python tools/train.py benchmarks/guide/window_6.py
"""

_base_ = '../../configs/vrt_spike_baseline.py'
model = dict(backbone=dict(window_size=[5, 6, 6]))
