"""Any instant of the exposure: trained at random instants, validated at each.

The spikes and the estimates around the instant enter after stage 1. What comes before is computed once for all
instants of a frame (docs/restore.md).

python tools/train.py configs/residual_cnn_instants.py
"""

_base_ = './residual_cnn.py'
data = dict(type='DemoClips', sharp_instants=[0, 0.25, 0.75, 1])
model = dict(
    backbone=dict(depths=[10, 3], estimates_after=1),
    further_inputs=['sdm_neighbour'],
    fusion_stages=[1],
    time=dict(type='TimeEmbedding'),
)
_add = [dict(type='AddSDM'), dict(type='AddNeighbourSDM')]
_bins = dict(type='BinSpikes', representation=dict(type='Voxel', bins=32))
train_dataloader = dict(
    batch_size=3,
    dataset=dict(
        clip_len=3,  # the neighbour shows what the frame itself does not
        instants='targets',
        pipeline=[
            dict(type='PairedRandomCrop', size=64),
            dict(type='PairedRandomFlip'),
            *_add,
            _bins,
            dict(type='PackClip'),
        ],
    ),
)
val_dataloader = dict(
    dataset=dict(
        instants='targets',
        pipeline=[dict(type='PairedCenterCrop', size=None), *_add, _bins, dict(type='PackClip')],
    )
)
train_cfg = dict(max_iters=2000)
default_hooks = dict(instant_curve=dict(type='InstantCurveHook'))
