"""The loss of the guide: Charbonnier, and a tenth of the distance in VGG16's relu3_3.

python tools/train.py configs/recipes/perceptual.py --cfg-options model.loss.losses.1.weights=/path/to/vgg16.pth

The file holds torchvision's VGG16_Weights.IMAGENET1K_V1; nothing is downloaded.
"""

_base_ = '../vrt_spike_baseline.py'
model = dict(
    loss=dict(
        _delete_=True,
        type='SumLoss',
        losses=[
            dict(type='CharbonnierLoss', delta=1e-3),
            dict(type='PerceptualLoss', weights='weights/vgg16.pth', layers=['relu3_3'], weight=0.1),
        ],
    )
)
