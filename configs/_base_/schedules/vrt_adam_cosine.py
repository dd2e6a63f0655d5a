# The schedule of the released deblurring networks: Adam, cosine over 300k iterations. Flow and offsets are trained at
# an eighth of the learning rate.
_slow = dict(lr_mult=0.125)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='Adam', lr=4e-4, betas=(0.9, 0.99)),
    paramwise_cfg=dict(custom_keys={'spynet': _slow, 'pa_deform': _slow}),
)
param_scheduler = [dict(type='CosineAnnealingLR', eta_min=1e-7, by_epoch=False)]
train_cfg = dict(type='SkippingIterLoop', max_iters=300_000, val_interval=5000)
val_cfg = dict()
