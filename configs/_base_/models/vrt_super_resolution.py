# The published VRT for super-resolution, from RGB alone.
model = dict(
    type='SpikeRestorer',
    backbone=dict(
        type='VRT',
        upscale=4,
        img_size=[6, 64, 64],
        window_size=[6, 8, 8],
        depths=[8] * 7 + [4] * 6,
        indep_reconsts=[11, 12],
        embed_dims=[120] * 7 + [180] * 6,
        num_heads=[6] * 13,
        pa_frames=2,
        deformable_groups=12,
        use_checkpoint_attn=True,
        use_checkpoint_ffn=True,
    ),
    fusion=None,
    loss=dict(type='CharbonnierLoss', delta=1e-9**0.5),
)
