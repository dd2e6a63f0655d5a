"""The tiny network with NewPart, a hook.

python tools/train.py vrtspike/scaffolding/templates/hook/config.py
"""

_base_ = '../../../../configs/vrt_spike_tiny.py'
plugins = ['{{ fileDirname }}']
default_hooks = dict(new_part=dict(type='NewPart'))
