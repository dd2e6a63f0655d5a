"""All of the guide's remedies on its own network: plan B under AMP, and no fusion after stage 1.

python tools/train.py benchmarks/guide/v0_combined.py
"""

_base_ = './v0_aggressive.py'
model = dict(fusion_stages=[2, 3, 4])
