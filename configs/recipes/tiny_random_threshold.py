"""The tiny network, trained at one to four times the threshold of the data, for cameras with other thresholds.

python tools/train.py configs/recipes/tiny_random_threshold.py
python tools/test.py configs/recipes/tiny_random_threshold.py CHECKPOINT --thresholds 1 2 4
"""

_base_ = '../vrt_spike_tiny.py'
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='PairedRandomCrop', size=32),
            dict(type='PairedRandomFlip'),
            dict(type='RandomThreshold', factors=(1.0, 4.0)),
            dict(type='AddSDM'),
            dict(type='BinSpikes', representation=dict(type='Voxel', bins=32)),
            dict(type='PackClip'),
        ]
    )
)
