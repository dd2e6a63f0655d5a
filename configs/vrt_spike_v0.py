"""The network of the guide's log: six groups in stage 8, two of which attend within single frames.

python tools/train.py configs/vrt_spike_v0.py
"""

_base_ = './vrt_spike_baseline.py'
model = dict(backbone=dict(depths=[8] * 7 + [4] * 6, indep_reconsts=[11, 12], embed_dims=[96] * 13, num_heads=[6] * 13))
