"""The tiny network with NewPart, a temporal self-attention.

python tools/train.py vrtspike/scaffolding/templates/tsa/config.py
"""

_base_ = '../../../../configs/vrt_spike_tiny.py'
plugins = ['{{ fileDirname }}']
model = dict(tsa=dict(_delete_=True, type='NewPart'))
