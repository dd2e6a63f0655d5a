# AdamW, linear warm-up, then cosine to the last iteration; gradients of six iterations make one step.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.99), weight_decay=1e-4),
    clip_grad=dict(max_norm=1.0),
    accumulative_counts=6,
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=1536),
    dict(type='CosineAnnealingLR', eta_min=1e-7, by_epoch=False, begin=1536),
]
train_cfg = dict(type='SkippingIterLoop', max_iters=60_000, val_interval=1000)
val_cfg = dict()
