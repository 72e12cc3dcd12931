"""Two convolutions to learn from: the formula as loops, and the same loops turned so that a processor's lanes have work.

    y[n,p,q,k] = b[k] + sum over r,s,c of x[n, p stride_h + r - pad_top, q stride_w + s - pad_left, c] * w[r,s,c,k]

x (N,H,W,C), w (R,S,C,K), b (K,), y (N,P,Q,K), as in kernels/HOWTO.md; docs/kernels.md walks through them. To be judged:

    bin/minicnn bench docs/examples/conv2d.py:naive
"""
from numba import njit


@njit(nogil=True)
def naive(x, w, b, y, stride_h, stride_w, pad_top, pad_left):
    """One number of y after the other. It waits for each sum before it begins the next, and walks through w in steps of K."""
    (N, H, W, C), (R, S) = x.shape, w.shape[:2]
    P, Q, K = y.shape[1:]
    for n in range(N):
        for p in range(P):
            for q in range(Q):
                for k in range(K):
                    total = b[k]
                    for r in range(R):
                        for s in range(S):
                            h, i = p * stride_h + r - pad_top, q * stride_w + s - pad_left
                            if 0 <= h < H and 0 <= i < W:
                                for c in range(C):
                                    total += x[n, h, i, c] * w[r, s, c, k]
                    y[n, p, q, k] = total


@njit(nogil=True, fastmath={"contract"})
def lanes(x, w, b, y, stride_h, stride_w, pad_top, pad_left):
    """All K numbers of a pixel of y side by side: the innermost loop is contiguous and its turns do not wait for each other."""
    (N, H, W, C), (R, S) = x.shape, w.shape[:2]
    P, Q, K = y.shape[1:]
    for n in range(N):
        for p in range(P):
            for q in range(Q):
                y[n, p, q] = b
                for r in range(R):
                    for s in range(S):
                        h, i = p * stride_h + r - pad_top, q * stride_w + s - pad_left
                        if 0 <= h < H and 0 <= i < W:
                            for c in range(C):
                                pixel = x[n, h, i, c]
                                for k in range(K):
                                    y[n, p, q, k] += pixel * w[r, s, c, k]
