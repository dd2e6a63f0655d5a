"""The baseline with three quarters of stage 2's blocks, and nothing else.

python tools/train.py benchmarks/guide/stage2_depth_6.py
"""

_base_ = '../../configs/vrt_spike_baseline.py'
model = dict(backbone=dict(depths=[8, 6, 8, 8, 4, 4, 4, 8]))
