"""The guide's plan B, "aggressive": stages 2, 3 and 8 shallower, window 6, larger chunks, AMP, batch 2.

The backward pass recomputes only what does not fit into a third of the free memory.

python tools/train.py configs/vrt_spike_fast.py
"""

_base_ = './vrt_spike_amp.py'
model = dict(
    backbone=dict(depths=[8, 6, 6, 8, 4, 4, 4, 4], window_size=[5, 6, 6], checkpointing='auto'),
    tsa=dict(max_batch_tokens=65536, chunk_size=96),
    fusion=dict(max_batch_tokens=65536, chunk_size=96),
)
train_dataloader = dict(batch_size=2)
