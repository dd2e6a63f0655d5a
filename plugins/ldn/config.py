"""LDN, the light deblurring network of S-SDM: one blurred frame and the 21 raw spike steps around its middle.

python tools/train.py plugins/ldn/config.py
python tools/test.py plugins/ldn/config.py /path/to/DeblurNet_100.pth
"""

_base_ = '../../configs/vrt_spike_lite.py'
plugins = ['ldn']
model = dict(_delete_=True, type='LDNRestorer')
_raw = dict(type='BinSpikes', representation=dict(type='RawWindow', length=21))
train_dataloader = dict(
    dataset=dict(
        pipeline=[dict(type='PairedRandomCrop', size=32), dict(type='PairedRandomFlip'), _raw, dict(type='PackClip')]
    )
)
val_dataloader = dict(
    dataset=dict(pipeline=[dict(type='PairedCenterCrop', size=None), dict(type='AddSDM'), _raw, dict(type='PackClip')])
)
default_hooks = dict(freeze=None)
