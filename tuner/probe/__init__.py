"""The redundancy map: where in a decoder audio tokens can be spared, as https://arxiv.org/abs/2604.06871 asks."""
