"""The speeds that minicnn wants to reach; the tables show each beside what was measured. A ratio unless said."""
TRAIN = {"lenet": 3.5, "mnist": 3.0, "tinyvgg": 2.5, "vgg-small": 1.5}                 # to PyTorch's faster format
SCALING = {"lenet": 1.7, "vgg-small": 1.85}                                             # 2 threads to 1
INFER = {"lenet": 1.2, "mnist": 1.1, "tinyvgg": 1.2, "vgg-small": 1.3}                  # to ONNX Runtime, whole batches
INFER_ONE = {"lenet": 1.0, "mnist": 1.0, "tinyvgg": 1.0, "vgg-small": 0.8}              # the same, one image at a time
CONV = 1.4                                              # 3x3, stride 1, C and K from 64 on; to PyTorch's faster format
ROOF = {"forward": 0.90, "backward_input": 0.85, "backward_weight": 0.85}               # share of the FMA loop, direct
COPY = 0.80                                                                             # share of the copy's bandwidth
MEMORY = 1.0                                                                            # at most, of PyTorch's peak
