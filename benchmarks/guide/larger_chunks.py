"""The baseline with the guide's larger fusion chunks, and nothing else.

python tools/train.py benchmarks/guide/larger_chunks.py
"""

_base_ = '../../configs/vrt_spike_baseline.py'
model = dict(fusion=dict(max_batch_tokens=65536, chunk_size=96))
