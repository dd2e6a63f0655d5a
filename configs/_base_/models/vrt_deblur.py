# The published VRT for deblurring and denoising, from RGB alone: 18,320,007 parameters.
model = dict(
    type='SpikeRestorer',
    backbone=dict(
        type='VRT',
        upscale=1,
        img_size=[6, 192, 192],
        window_size=[6, 8, 8],
        depths=[8] * 7 + [4] * 4,
        indep_reconsts=[9, 10],
        embed_dims=[96] * 7 + [120] * 4,
        num_heads=[6] * 11,
        pa_frames=2,
        deformable_groups=16,
        use_checkpoint_attn=True,
        use_checkpoint_ffn=True,
    ),
    fusion=None,
    loss=dict(type='CharbonnierLoss', delta=1e-9**0.5),
)
