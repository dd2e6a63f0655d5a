"""The tiny network with NewTsa, a temporal self-attention.

python tools/train.py vrtspike/scaffolding/templates/new_tsa/config.py
"""

_base_ = '../../../../configs/vrt_spike_tiny.py'
plugins = ['{{ fileDirname }}']
model = dict(tsa=dict(_delete_=True, type='NewTsa'))
