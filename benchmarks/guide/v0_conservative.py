"""Plan A on the guide's own network: its six groups in stage 8 have three blocks instead of four.

python tools/train.py benchmarks/guide/v0_conservative.py
"""

_base_ = '../../configs/vrt_spike_v0.py'
model = dict(
    backbone=dict(depths=[8, 7, 8, 8, 8, 8, 8] + [3] * 6, window_size=[5, 7, 7]),
    fusion=dict(max_batch_tokens=65536, chunk_size=80),
)
optim_wrapper = dict(type='DeviceAmpOptimWrapper', dtype='auto')
