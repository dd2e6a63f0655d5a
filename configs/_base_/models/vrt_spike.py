# VRT-Spike at the guide's baseline size: 15,086,499 parameters in VRT, 5,411,712 on the spike side.
model = dict(
    type='SpikeRestorer',
    backbone=dict(
        type='VRT',
        upscale=1,
        img_size=[5, 256, 256],
        window_size=[5, 8, 8],
        depths=[8, 8, 8, 8, 4, 4, 4, 8],  # stages 1-7, then the groups of stage 8: here one
        indep_reconsts=[],
        embed_dims=[96] * 8,
        num_heads=[6] * 8,
        pa_frames=2,
        deformable_groups=16,
        use_checkpoint_attn=True,
        use_checkpoint_ffn=True,
    ),
    spike_encoder=dict(type='SpikeEncoder3D', bins=32, channels=96),
    tsa=dict(
        type='TemporalSelfAttention',
        heads=4,
        adaptive_chunk=True,
        max_batch_tokens=49152,
        chunk_size=64,
        chunk_shape='square',
    ),
    fusion=dict(
        type='TemporalCrossAttention',
        heads=4,
        adaptive_chunk=True,
        max_batch_tokens=49152,
        chunk_size=64,
        chunk_shape='square',
    ),
    fusion_stages=[1, 2, 3, 4],
    loss=dict(type='CharbonnierLoss', delta=1e-3),
)
