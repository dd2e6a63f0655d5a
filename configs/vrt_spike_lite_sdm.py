"""The light student, starting from the estimate of the spike-guided deblurring model in place of the blurred frame.

python tools/train.py configs/vrt_spike_lite_sdm.py
"""

_base_ = './vrt_spike_lite.py'
model = dict(start='sdm')
_bins = dict(type='BinSpikes', representation=dict(type='Voxel', bins=8))
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
