"""Second of two runs: low-rank adapters (LoRA) in the backbone's attention, with a fresh optimizer and schedule.

python tools/train.py configs/recipes/lora_phase2.py --load-from work_dirs/lora_phase1/iter_24000.pth

The spike side is trained on, flow and offsets at a tenth of the learning rate; all other weights stay as they are.
"""

_base_ = '../vrt_spike_baseline.py'
_slow = dict(lr_mult=0.1)
model = dict(
    lora=dict(
        layers=['backbone.*.qkv_self', 'backbone.*.qkv_mut', 'backbone.*.attn.proj'],
        rank=8,
        alpha=16,
        trained=['spike_encoder', 'tsa', 'fusion', 'projection', 'backbone.spynet', 'backbone.*.pa_deform'],
    )
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'spynet': _slow, 'pa_deform': _slow}))
train_cfg = dict(max_iters=36_000)
default_hooks = dict(adapters=dict(type='AdaptersHook'))
