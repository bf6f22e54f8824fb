"""A chart of what bench.py measured: chart.py bench.json bench.svg"""

import json
import sys

LEFT, BAR, GAP, WIDTH, SCALE = 230, 11, 12, 760, 380
WAYS = {"qmp-shim": "#2a6fbb", "socat": "#b9b9b9"}


def speed(scene, way):
    """how fast, as a part of the relay's speed"""
    found = scene["ways"].get(way)
    if not found:
        return None
    return 1 / found["ratio"] if scene["key"] == "p50_us" else found["ratio"]


def bars(scene, y):
    yield '<text x="%d" y="%d" text-anchor="end">%s</text>' % (LEFT - 8, y + BAR + 4, scene["name"])
    for way, colour in WAYS.items():
        value = speed(scene, way)
        if value is None:
            continue
        yield '<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>' % (
            LEFT, y, value * SCALE, BAR, colour)
        yield '<text x="%.1f" y="%d" class="n">%s %.2f</text>' % (
            LEFT + value * SCALE + 4, y + BAR - 2, way, value)
        y += BAR + 1


def chart(result):
    step = 2 * BAR + GAP
    height = 50 + step * len(result["scenes"])
    yield '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">' % (
        WIDTH, height)
    yield '<style>.n{font-size:10px}</style><rect width="100%" height="100%" fill="white"/>'
    yield '<text x="%d" y="18">Speed, as a part of a relay that only copies bytes (1.00)</text>' % LEFT
    yield '<line x1="%d" y1="26" x2="%d" y2="%d" stroke="black" stroke-dasharray="3"/>' % (
        LEFT + SCALE, LEFT + SCALE, height - 10)
    for i, scene in enumerate(result["scenes"]):
        yield from bars(scene, 34 + i * step)
    yield "</svg>"


def main():
    with open(sys.argv[1], encoding="ascii") as f:
        result = json.load(f)
    with open(sys.argv[2], "w", encoding="ascii") as f:
        f.write("\n".join(chart(result)) + "\n")


if __name__ == "__main__":
    main()
