"""The tiny network with NewSpikeEncoder, a spike encoder.

python tools/train.py vrtspike/scaffolding/templates/new_spike_encoder/config.py
"""

_base_ = '../../../../configs/vrt_spike_tiny.py'
plugins = ['{{ fileDirname }}']
model = dict(spike_encoder=dict(_delete_=True, type='NewSpikeEncoder', bins=32))
