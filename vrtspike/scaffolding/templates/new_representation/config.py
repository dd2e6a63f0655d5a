"""The tiny network with NewRepresentation, a spike representation.

python tools/train.py vrtspike/scaffolding/templates/new_representation/config.py
"""

_base_ = '../../../../configs/vrt_spike_tiny.py'
plugins = ['{{ fileDirname }}']
model = dict(spike_encoder=dict(bins=2))
_bins, _pack = dict(type='BinSpikes', representation=dict(type='NewRepresentation')), dict(type='PackClip')
train_dataloader = dict(
    dataset=dict(pipeline=[dict(type='PairedRandomCrop', size=32), dict(type='PairedRandomFlip'), _bins, _pack])
)
val_dataloader = dict(dataset=dict(pipeline=[dict(type='PairedCenterCrop', size=None), _bins, _pack]))
