"""The network, in plain PyTorch; needs the train extra."""
