"""A small frame-wise network for comparing fusion heads with many seeds; it trains in a minute on a CPU core.

python tools/train.py benchmarks/ablations/residual_cnn.py
"""

_base_ = '../../configs/vrt_spike_lite.py'
model = dict(backbone=dict(_delete_=True, type='ResidualCNN'), fusion_stages=[0, 1])
train_dataloader = dict(num_workers=0)
default_hooks = dict(freeze=None, clip_pictures=None, stage_cost=dict(roofline=False))
