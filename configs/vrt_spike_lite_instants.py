"""The light student at any instant of the exposure: trained at random instants, validated at each.

python tools/train.py configs/vrt_spike_lite_instants.py
"""

_base_ = './vrt_spike_lite_sdm.py'
data = dict(type='DemoClips', sharp_instants=[0, 0.25, 0.75, 1])
model = dict(time=dict(type='TimeEmbedding'))
train_dataloader = dict(dataset=dict(instants='targets'))
val_dataloader = dict(dataset=dict(instants='targets'))
default_hooks = dict(instant_curve=dict(type='InstantCurveHook'))
