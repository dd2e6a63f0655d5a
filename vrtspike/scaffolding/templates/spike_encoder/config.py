"""The tiny network with NewPart, a spike encoder.

python tools/train.py vrtspike/scaffolding/templates/spike_encoder/config.py
"""

_base_ = '../../../../configs/vrt_spike_tiny.py'
plugins = ['{{ fileDirname }}']
model = dict(spike_encoder=dict(_delete_=True, type='NewPart', bins=32))
