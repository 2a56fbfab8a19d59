"""Cross-stitch networks (Misra et al., CVPR 2016): the declaration of its tables, one file per pair of tasks.

The text that could be read lacks the paper's section on data and base networks. What it leaves open follows the
fully convolutional AlexNet that it names (https://github.com/shelhamer/fcn.berkeleyvision.org, ``voc-fcn-alexnet``),
the first author's code for normals (https://github.com/imisra/semantic-segmentation-pytorch), and Fast R-CNN
(https://github.com/rbgirshick/fast-rcnn).
"""
