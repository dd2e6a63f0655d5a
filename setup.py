"""Packaging of vrtspike; tool settings live in pyproject.toml, tested versions in constraints.txt."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
VERSION = re.search(r"__version__ = '(.+)'", (ROOT / 'vrtspike/__init__.py').read_text(encoding='utf-8')).group(1)

REQUIRES = [
    'torch>=2.11',
    # The maintained distributions of mmengine and mmcv; both import under the original names. PyPI's mmengine
    # cannot resume its own checkpoints on torch >= 2.6.
    'onedl-mmengine>=0.10.12',
    'onedl-mmcv>=2.3.6',
    'einops>=0.8',
    'numpy>=1.26',
    'opencv-python>=4.9',
    'pillow>=10',
    'pyyaml>=6',
    # Its last release is from 2022; it is the FLOP counter the field's tables are made with, kept behind one adapter.
    'fvcore>=0.1.5.post20221221',
    # SSIM as published, and the demo's photographs ship inside it.
    'scikit-image>=0.24',
    'scipy>=1.11',
    'rich>=13',
    'matplotlib>=3.8',
    # Reads a million records of stage costs in seconds, and checks them against their schema on the way.
    'msgspec>=0.19',
    # The templates of HTML pages; torch brings it along.
    'jinja2>=3.1',
    'markupsafe>=2.1',  # what Jinja2 escapes with
    'markdown-it-py>=3',  # Markdown reports as HTML; rich brings it along
    'psutil>=5.9',
]
EXTRAS = {
    'test': [
        'pytest>=8',
        'pytest-xdist>=3',
        'hypothesis>=6',
        'jsonschema>=4',
        'packaging>=23',
        'setuptools>=68',
        'h5py>=3.11',
        'yapf>=0.40.2',
    ],
    'dev': ['ruff>=0.9'],
    'tensorboard': ['tensorboard>=2.16'],
    'wandb': ['wandb>=0.17'],
    'torchvision': ['torchvision>=0.26'],
    'lpips': ['lpips>=0.1.4'],
    'lmdb': ['lmdb>=1.4'],
    'piqe': ['pypiqe>=1.2'],
    'triton': ['triton>=3.6; sys_platform == "linux"'],  # CUDA builds of torch bring it along
    'docs': ['mkdocs-material>=9.5', 'mkdocstrings[python]>=0.26'],
    'onnx': ['onnx>=1.18', 'onnxscript>=0.5', 'onnxruntime>=1.22'],
}
EXTRAS['dev'] += EXTRAS['test']
# What the tests need to skip nothing but the GPU's; torchvision has no CPU build everywhere.
EXTRAS['ci'] = [
    name
    for extra in ('dev', 'docs', 'lmdb', 'onnx', 'piqe', 'tensorboard', 'wandb', 'triton')
    for name in EXTRAS[extra]
]
EXTRAS['ci'] += ['huggingface-hub', 'safetensors']  # timm is installed without its dependencies, among them torchvision


class BuildWithMim(build_py):
    """Puts configs, tools and plugins into the wheel as ``vrtspike/.mim/``, so that an installed package can train."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # a checkout has them where they are
            return
        mim = Path(self.build_lib, 'vrtspike', '.mim')
        shutil.rmtree(mim, ignore_errors=True)
        for folder in ('configs', 'tools', 'plugins'):
            if (ROOT / folder).is_dir():  # the package does without plugins
                shutil.copytree(ROOT / folder, mim / folder, ignore=shutil.ignore_patterns('__pycache__', '.*'))


setup(
    name='vrtspike',
    version=VERSION,
    description='Video-deblurring transformers that fuse blurred RGB frames with spike-camera streams',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    classifiers=[
        'Development Status :: 3 - Alpha',
        'Intended Audience :: Science/Research',
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Image Processing',
    ],
    python_requires='>=3.10',
    packages=find_packages(include=['vrtspike', 'vrtspike.*']),
    package_data={
        'vrtspike.native.allocator': ['*.cpp'],
        'vrtspike.benchmarking.fake_gpu': ['*.cpp'],
        'vrtspike.models': ['pretrained/*.pth', 'pretrained/*.json'],
        'vrtspike.native': ['include/*.h'],
        'vrtspike.ops': ['*/cpu_kernel/*'],
        'vrtspike.scaffolding': ['templates/README.md', 'templates/*/*.py'],
        'vrtspike.records': ['*.schema.json'],
        'vrtspike.reporting': ['templates/*.html', 'templates/*.md'],
    },
    cmdclass={'build_py': BuildWithMim},
    install_requires=REQUIRES,
    extras_require=EXTRAS,
)
