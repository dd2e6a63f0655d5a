"""Training without sharp frames: the network learns from clips simulated from SDM's estimates of the data.

python tools/train.py configs/recipes/resimulate.py
python tools/train.py configs/recipes/resimulate.py --cfg-options data.type=ProcessedClips data.root=/path/to/clips

The sharp frames of the demo clips are withheld from the training and used for validation only. To train on your clips
without validation, set val_dataloader, val_evaluator and val_cfg to None.
"""

_base_ = '../residual_cnn.py'
data = dict(type='DemoClips', sharp=None)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='PairedRandomCrop', size=96),
            dict(type='Resimulate', size=48),
            dict(type='PairedRandomFlip'),
            dict(type='AddSDM'),
            dict(type='BinSpikes', representation=dict(type='Voxel', bins=32)),
            dict(type='PackClip'),
        ]
    )
)
val_dataloader = dict(dataset=dict(source=dict(type='DemoClips')))
