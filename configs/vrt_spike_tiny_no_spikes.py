"""The tiny network with all spikes set to zero in training and validation: what it gains without them.

python tools/train.py configs/vrt_spike_tiny_no_spikes.py
"""

_base_ = './vrt_spike_tiny.py'
_bins = dict(type='BinSpikes', representation=dict(type='Voxel', bins=32))
_without = [dict(type='DropSpikes'), dict(type='AddSDM'), _bins, dict(type='PackClip')]
train_dataloader = dict(
    dataset=dict(pipeline=[dict(type='PairedRandomCrop', size=32), dict(type='PairedRandomFlip'), *_without])
)
val_dataloader = dict(dataset=dict(pipeline=[dict(type='PairedCenterCrop', size=None), *_without]))
