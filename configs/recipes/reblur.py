"""The light student without sharp frames: what it restores must give the blurred frame, and stay near SDM.

python tools/train.py configs/recipes/reblur.py
python tools/train.py configs/recipes/reblur.py --cfg-options data.type=ProcessedClips data.root=/path/to/clips

The sharp frames of the demo clips are withheld from the training and used for validation only. To train on your clips
without validation, set val_dataloader, val_evaluator and val_cfg to None.
"""

_base_ = '../vrt_spike_lite_sdm.py'
data = dict(type='DemoClips', sharp=None)
model = dict(loss=dict(_delete_=True, type='ReblurLoss'))
_bins = dict(type='BinSpikes', representation=dict(type='Voxel', bins=8))
train_dataloader = dict(
    batch_size=1,
    dataset=dict(
        pipeline=[
            dict(type='PairedRandomCrop', size=32),
            dict(type='SDMTargets', instants=5),
            dict(type='PairedRandomFlip'),
            _bins,
            dict(type='PackClip'),
        ]
    ),
)
val_dataloader = dict(dataset=dict(source=dict(type='DemoClips')))
