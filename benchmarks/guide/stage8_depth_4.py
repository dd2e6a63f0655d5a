"""The baseline with half of stage 8's blocks, and nothing else.

python tools/train.py benchmarks/guide/stage8_depth_4.py
"""

_base_ = '../../configs/vrt_spike_baseline.py'
model = dict(backbone=dict(depths=[8, 8, 8, 8, 4, 4, 4, 4]))
