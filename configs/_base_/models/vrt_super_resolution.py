# The published VRT for x4 super-resolution, from RGB alone.
_base_ = './vrt_deblur.py'
model = dict(
    backbone=dict(
        upscale=4,
        img_size=[6, 64, 64],
        depths=[8] * 7 + [4] * 6,
        indep_reconsts=[11, 12],
        embed_dims=[120] * 7 + [180] * 6,
        num_heads=[6] * 13,
        deformable_groups=12,
    )
)
