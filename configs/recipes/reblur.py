"""Training without sharp frames: what is restored must give the blurred frame, and stay near SDM.

python tools/train.py configs/recipes/reblur.py
python tools/train.py configs/recipes/reblur.py --cfg-options data.type=ProcessedClips data.root=/path/to/clips

The sharp frames of the demo clips are withheld from the training and used for validation only. To train on your clips
without validation, set val_dataloader, val_evaluator and val_cfg to None.
"""

_base_ = '../residual_cnn.py'
data = dict(type='DemoClips', sharp=None)
model = dict(loss=dict(_delete_=True, type='ReblurLoss'))
train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        pipeline=[
            dict(type='PairedRandomCrop', size=64),
            dict(type='SDMTargets', instants=5),
            dict(type='PairedRandomFlip'),
            dict(type='BinSpikes', representation=dict(type='Voxel', bins=32)),
            dict(type='PackClip'),
        ]
    ),
)
val_dataloader = dict(dataset=dict(source=dict(type='DemoClips')))
