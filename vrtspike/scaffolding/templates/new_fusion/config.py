"""The tiny network with NewFusion, a fusion head.

python tools/train.py vrtspike/scaffolding/templates/new_fusion/config.py
"""

_base_ = '../../../../configs/vrt_spike_tiny.py'
plugins = ['{{ fileDirname }}']
model = dict(fusion=dict(_delete_=True, type='NewFusion'))
