"""The tiny network with NewHook, a hook.

python tools/train.py vrtspike/scaffolding/templates/new_hook/config.py
"""

_base_ = '../../../../configs/vrt_spike_tiny.py'
plugins = ['{{ fileDirname }}']
default_hooks = dict(new_hook=dict(type='NewHook'))
