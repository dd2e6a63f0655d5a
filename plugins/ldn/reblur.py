"""The recipe of configs/recipes/reblur.py for LDN: training without sharp frames, as S-SDM does it.

It differs in what LDN needs, raw spikes, and has seven instants.

python tools/train.py plugins/ldn/reblur.py
"""

_base_ = './config.py'
data = dict(type='DemoClips', sharp=None)
model = dict(loss=dict(type='ReblurLoss'))
_raw = dict(type='BinSpikes', representation=dict(type='RawWindow', length=21))
train_dataloader = dict(
    batch_size=1,
    dataset=dict(
        pipeline=[
            dict(type='PairedRandomCrop', size=64),
            dict(type='SDMTargets', instants=7),
            dict(type='PairedRandomFlip'),
            _raw,
            dict(type='PackClip'),
        ]
    ),
)
val_dataloader = dict(dataset=dict(source=dict(type='DemoClips')))
