"""The guide's baseline: T = 5, crop 256, window 8, K = 32, checkpointing.

python tools/train.py configs/vrt_spike_baseline.py
python tools/train.py configs/vrt_spike_baseline.py --cfg-options data.type=ProcessedClips data.root=/path/to/clips
"""

_base_ = [
    './_base_/models/vrt_spike.py',
    './_base_/datasets/clips.py',
    './_base_/schedules/adamw_cosine.py',
    './_base_/runtime.py',
]
