"""Which convolutions Winograd's algorithm is for: counted from the layer's shape, without N.

Per tile of 4x4 outputs it multiplies 36 vectors for each channel and vector of filters, where the direct sum takes 9 per
output. The transforms come on top; in the same unit, measured on AVX2, they cost PIXELS / K + OUTPUTS / C a tile and FILTERS
a call, of which some images share each call.
"""
PIXELS, OUTPUTS, FILTERS = 200, 150, 180
SHARED = 8                  # images of a call, as a guess
FEWEST = 32                 # channels on either side: below, it gains too little to be worth seconds of compiling
FAREST = 2                  # pad of the frame: beyond, pixels would be computed from the rounding errors of their neighbours


def worth(filters, image, outputs, stride_h, stride_w, pad_top, pad_left):
    """Whether the layer with `filters` (R, S, C, K) from `image` (N, H, W, C) to `outputs` (N, P, Q, K) is clearly cheaper."""
    R, S, C, K = filters
    if R != 3 or S != 3 or C < FEWEST or K < FEWEST or stride_h != 1 or stride_w != 1:
        return False                                    # most calls end here: this costs every convolution half a microsecond
    _, H, W, _ = image
    _, P, Q, _ = outputs
    if not (0 <= pad_top <= FAREST and 0 <= pad_left <= FAREST and 0 <= P + 2 - pad_top - H <= FAREST
            and 0 <= Q + 2 - pad_left - W <= FAREST):
        return False
    tiles = ((P + 3) // 4) * ((Q + 3) // 4)
    return tiles * (36 + PIXELS / K + OUTPUTS / C) + FILTERS / SHARED < 0.8 * 9 * P * Q


def forward(x, w, b, y, stride_h, stride_w, pad_top, pad_left):
    return worth(w.shape, x.shape, y.shape, stride_h, stride_w, pad_top, pad_left)


def backward_input(dy, w, dx, stride_h, stride_w, pad_top, pad_left):
    return worth(w.shape, dx.shape, dy.shape, stride_h, stride_w, pad_top, pad_left)


def backward_weight(x, dy, dw, db, stride_h, stride_w, pad_top, pad_left):
    return worth(dw.shape, x.shape, dy.shape, stride_h, stride_w, pad_top, pad_left)
