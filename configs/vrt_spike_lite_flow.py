"""The light student with flow from spikes: SCFlow sees 25 raw steps around each frame in place of blurred frames.

python tools/train.py configs/vrt_spike_lite_flow.py --cfg-options model.backbone.flow_weights=dt20_e80.pth.tar

Without the published weights, SCFlow begins at random and is trained with the rest.
"""

_base_ = './vrt_spike_lite.py'
model = dict(backbone=dict(flow='spikes'))
_bins = dict(type='BinSpikes', representation=dict(type='Voxel', bins=16), flow_steps=25)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='PairedRandomCrop', size=32),
            dict(type='PairedRandomFlip'),
            dict(type='AddSDM'),
            _bins,
            dict(type='PackClip'),
        ]
    )
)
val_dataloader = dict(
    dataset=dict(
        pipeline=[dict(type='PairedCenterCrop', size=None), dict(type='AddSDM'), _bins, dict(type='PackClip')]
    ),
)
default_hooks = dict(freeze=None)
