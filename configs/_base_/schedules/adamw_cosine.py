# AdamW with gradients of six iterations in one step. The learning rate rises linearly over a tenth of the run, at most
# `warm_up.max_iters` iterations, and then falls as a cosine to the last iteration. A child config sets the limit alone:
# warm_up = dict(max_iters=40).
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.99), weight_decay=1e-4),
    clip_grad=dict(max_norm=1.0),
    accumulative_counts=6,
)
warm_up = dict(ratio=0.1, max_iters=1536)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end='warm_up'),
    dict(type='CosineAnnealingLR', eta_min=1e-7, by_epoch=False, begin='warm_up'),
]
train_cfg = dict(type='SkippingIterLoop', max_iters=60_000, val_interval=1000)
val_cfg = dict()
