"""Plan B on the guide's own network: its six groups in stage 8 have two blocks instead of four.

python tools/train.py benchmarks/guide/v0_aggressive.py
"""

_base_ = '../../configs/vrt_spike_v0.py'
model = dict(
    backbone=dict(depths=[8, 6, 6, 8, 8, 8, 8] + [2] * 6, window_size=[5, 6, 6]),
    tsa=dict(max_batch_tokens=65536, chunk_size=96),
    fusion=dict(max_batch_tokens=65536, chunk_size=96),
)
optim_wrapper = dict(type='DeviceAmpOptimWrapper', dtype='auto')
