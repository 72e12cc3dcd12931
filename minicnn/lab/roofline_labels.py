"""Places names beside points of a picture so that none lies on another, on a point or on a line."""
from math import cos, pi, sin

SIDE = (0, 1, -1, 4, 3, -3, 2, -2)          # eighths of a turn from the right, in the order they are tried
BELOW = (-2, -1, -3, 0, 4, 1, 3, 2)


def place(axes, names, points, lines, ink, thread) -> None:
    """Writes each (x, y, text, directions) near its place: the nearest free spot, tried on circles that grow; where that is
    not beside the point, a thread leads to it. A name that finds no spot within the axes is left out.

    points: (x, y), lines: (x0, y0, x1, y1) to keep clear of.
    """
    renderer = axes.figure.canvas.get_renderer()
    room, scale = axes.get_window_extent(renderer), axes.figure.dpi / 72
    taken = [_box(*axes.transData.transform(point), 5 * scale, 5 * scale) for point in points]
    taken += [text.get_window_extent(renderer).extents for text in axes.texts]
    barred = [box for x0, y0, x1, y1 in lines for box in _pieces(*axes.transData.transform([(x0, y0), (x1, y1)]), scale)]
    taken += barred                     # `taken` is where no name may be, `barred` where no thread may
    for x, y, name, directions in names:
        text = axes.text(x, y, name, size=8, color=ink, ha="center", va="center")
        extent = text.get_window_extent(renderer)
        wide, tall = extent.width / 2 + 2 * scale, extent.height / 2 + scale
        px, py = axes.transData.transform((x, y))
        spot = _free(px, py, wide, tall, directions, taken, barred, room, scale)
        if spot is None:
            text.remove()
            continue
        text.set_position(axes.transData.inverted().transform(spot))
        box, end = _box(*spot, wide, tall), _end(px, py, *spot, wide, tall)
        barred.append(box)
        taken.append(box)
        if (end[0] - px) ** 2 + (end[1] - py) ** 2 > (12 * scale) ** 2:
            taken += _pieces((px, py), end, scale)
            (x0, y0), (x1, y1) = axes.transData.inverted().transform([end, (px, py)])
            axes.plot([x0, x1], [y0, y1], color=thread, linewidth=0.5, zorder=1.4)


def _free(px, py, wide, tall, directions, taken, barred, room, scale):
    """The centre of the first free spot whose thread crosses no name and no line; where there is none, of the first free spot."""
    second, here = None, _box(px, py, 8 * scale, 8 * scale)
    barred = [other for other in barred if not _meet(other, here)]
    for step in range(36):
        gap = (7 + 5 * step) * scale
        for eighth in (eighth + half for eighth in directions for half in (0, 0.5)):
            across, up = cos(eighth * pi / 4), sin(eighth * pi / 4)
            spot = px + across * (gap + wide), py + up * (gap + tall)
            box = _box(*spot, wide, tall)
            inside = room.x0 <= box[0] and box[2] <= room.x1 and room.y0 <= box[1] and box[3] <= room.y1
            if inside and not any(_meet(box, other) for other in taken):
                thread = _pieces((px, py), _end(px, py, *spot, wide, tall), scale)
                if not any(_meet(piece, other) for piece in thread for other in barred):
                    return spot
                second = second or spot
    return second


def _end(px, py, x, y, wide, tall):
    """The place of a name's box that is next to the point."""
    return max(x - wide, min(px, x + wide)), max(y - tall, min(py, y + tall))


def _pieces(start, end, scale):
    """A line as small boxes."""
    count = max(1, int(max(abs(end[0] - start[0]), abs(end[1] - start[1])) / (4 * scale)))
    for k in range(count + 1):
        x, y = (a + (b - a) * k / count for a, b in zip(start, end, strict=True))
        yield _box(x, y, 2 * scale, 2 * scale)


def _box(x, y, wide, tall):
    return x - wide, y - tall, x + wide, y + tall


def _meet(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
