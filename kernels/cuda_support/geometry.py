"""What is constant in a compiled convolution: all extents but the number of images.

    Geometry    H W C R S K P Q stride_h stride_w pad_top pad_left      named as in kernels/__init__.py
    TAPS        R S C       terms of one output: row t = (r S + s) C + c of the filters, which are a matrix (TAPS, K)
    PLACES      P Q         outputs of one image and filter

A tap meets the pixel (p stride_h + r - pad_top, q stride_w + s - pad_left). Pads may be negative here: the gradient of an
input is a convolution of dy whose first place may lie inside of it.
"""
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Geometry:
    """The extents and steps of one convolution."""

    H: int
    W: int
    C: int
    R: int
    S: int
    K: int
    P: int
    Q: int
    stride_h: int = 1
    stride_w: int = 1
    pad_top: int = 0
    pad_left: int = 0

    @classmethod
    def of(cls, x, w, y, stride_h, stride_w, pad_top, pad_left):
        """From the shapes x (N,H,W,C), w (R,S,C,K), y (N,P,Q,K). A stride that is never taken becomes 1."""
        return cls(*x[1:], *w[:2], w[3], *y[1:3], stride_h if y[1] > 1 else 1, stride_w if y[2] > 1 else 1, pad_top, pad_left)

    @classmethod
    def dense(cls, C, K):
        """A dense layer: one pixel, one tap."""
        return cls(1, 1, C, 1, 1, K, 1, 1)

    @property
    def taps(self) -> int:
        return self.R * self.S * self.C

    @property
    def places(self) -> int:
        return self.P * self.Q

    @property
    def inside(self) -> bool:
        """Whether every tap of every window meets a pixel: no edge to look at."""
        down, across = (self.P - 1) * self.stride_h + self.R, (self.Q - 1) * self.stride_w + self.S
        return (self.pad_top <= 0 and self.pad_left <= 0
                and down - self.pad_top <= self.H and across - self.pad_left <= self.W)

    @property
    def name(self) -> str:
        """All of it as part of an identifier."""
        places = f"{self.H}x{self.W}x{self.C}_to_{self.P}x{self.Q}x{self.K}_by_{self.R}x{self.S}"
        return f"{places}_stride_{self.stride_h}x{self.stride_w}_pad_{self.pad_top}x{self.pad_left}".replace("-", "minus")

    def constants(self) -> dict[str, int]:
        """As constants of a template."""
        return asdict(self) | {"TAPS": self.taps, "PLACES": self.places, "INSIDE": self.inside}
