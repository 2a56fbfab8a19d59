"""Multi-exit networks with feature filtering (Lee et al., Electronics 2021): the declaration of its tables.

Several image-classification sets train one network whose exits sit at different depths, one a set. The paper prints
neither optimiser nor augmentation; its rate, batch, length and schedule are those of PyTorch's ImageNet example, whose
other settings fill the blanks (https://github.com/pytorch/examples/blob/main/imagenet/main.py).
"""
