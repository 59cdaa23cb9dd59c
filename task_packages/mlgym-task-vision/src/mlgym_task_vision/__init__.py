"""Image classification, from handwritten digits to CIFAR-10, as tasks of mlgym."""
