"""The baseline with window attention written out instead of the fused operator, and nothing else.

python tools/train.py benchmarks/guide/plain_attention.py
"""

_base_ = '../../configs/vrt_spike_baseline.py'
model = dict(backbone=dict(attn_type='reference'))
