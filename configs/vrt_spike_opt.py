"""The guide's plan A, "conservative": stage 2 and 8 shallower, window 7, larger fusion chunks, AMP.

python tools/train.py configs/vrt_spike_opt.py
"""

_base_ = './vrt_spike_amp.py'
model = dict(
    backbone=dict(depths=[8, 7, 8, 8, 4, 4, 4, 6], window_size=[5, 7, 7]),
    fusion=dict(max_batch_tokens=65536, chunk_size=80),
)
