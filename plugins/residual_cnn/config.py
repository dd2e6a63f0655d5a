"""A network of frame-wise residual blocks for comparing fusion heads; it trains in a minute on a CPU core.

python tools/train.py plugins/residual_cnn/config.py
"""

_base_ = '../../configs/vrt_spike_lite.py'
plugins = ['residual_cnn']
model = dict(backbone=dict(_delete_=True, type='ResidualCNN'), fusion_stages=[0, 1])
train_dataloader = dict(num_workers=0)
default_hooks = dict(freeze=None, clip_pictures=None, stage_cost=dict(roofline=False))
