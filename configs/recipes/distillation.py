"""The half-depth student, taught by the baseline.

python tools/train.py configs/recipes/distillation.py --cfg-options model.teacher_checkpoint=/path/to/iter_60000.pth
"""

_base_ = '../vrt_spike_baseline.py'
model = dict(
    type='DistilledRestorer',
    backbone=dict(depths=[4, 4, 4, 4, 2, 2, 2, 2]),
    teacher='configs/vrt_spike_baseline.py',
    teacher_checkpoint='work_dirs/vrt_spike_baseline/iter_60000.pth',
    output_weight=1.0,
    feature_weight=0.1,
    feature_stages=[1, 4, 7],
)
