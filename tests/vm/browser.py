"""A page as a person sees it, in Chromium; for tests/vm/bench, and, by
`tests/vm/browser.py NAME URL PLOTS`, for tests/vm/serve.
"""

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import urllib.request
import zlib

sys.dont_write_bytecode = True
import saved  # noqa: E402
from saved import check, skip  # noqa: E402

# The page in frames of a window's and of a phone's width; it has no script itself.
MEASURE = """<!DOCTYPE html><title>none</title><body><script>
const told = {};
for (const width of [1100, 390]) {
  const frame = document.createElement('iframe');
  frame.style = `border:0;height:2000px;width:${width}px`;
  frame.srcdoc = PAGE;
  frame.onload = () => {
    const page = frame.contentDocument, view = frame.contentWindow;
    const all = words => [...page.querySelectorAll(words)];
    const text = e => parseFloat(view.getComputedStyle(e).fontSize) * e.getScreenCTM().a;
    told[width] = {
      width: view.innerWidth, page: page.documentElement.scrollWidth,
      wide: all('main *').filter(e => e.getBoundingClientRect().right > view.innerWidth + 1 &&
                                      !e.closest('.scroll')).length,
      small: all('svg').filter(e => e.getBoundingClientRect().height < 40).length,
      plots: all('svg').length, text: Math.min(...all('svg text').map(text))};
    document.title = JSON.stringify(told);
  };
  document.body.append(frame);
}
</script>"""


def pixel(path):
    """Width, height and the first pixel of a PNG; of the first line, no filter changes that."""
    with open(path, "rb") as f:
        data = f.read()
    width, height = struct.unpack(">II", data[16:24])
    at, packed = 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        if kind == b"IDAT":
            packed += data[at + 8:at + 8 + length]
        at += 12 + length
    return width, height, tuple(zlib.decompress(packed)[1:4])


def chromium(scratch, *words):
    return subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
         f"--user-data-dir={scratch}/chromium", *words], check=False, capture_output=True,
        text=True, timeout=120, env={**os.environ, "HOME": scratch}).stdout


def look(scratch, name, url, html, plots):
    """Light, dark and on a phone: nothing is cut off, each plot has its place, words can be
    read. Pictures stay in build/test."""
    if not shutil.which("chromium"):
        skip("the page in a browser", "chromium is not installed; run make setup")
        return
    for form, width, dark in (("light", 1100, 0), ("dark", 1100, 1), ("phone", 390, 0)):
        picture = os.path.abspath(f"build/test/{name}-{form}.png")
        chromium(scratch, f"--blink-settings=preferredColorScheme={0 if dark else 1}",
                 f"--window-size={width},2400", f"--screenshot={picture}", url)
        found = pixel(picture) if os.path.exists(picture) else None
        check(f"the page is drawn, {form}", found and found[:2] == (width, 2400) and
              (max(found[2]) < 80 if dark else min(found[2]) > 200), found)
    frames = os.path.join(scratch, "frames.html")
    with open(frames, "w", encoding="utf-8") as out:
        out.write(MEASURE.replace("PAGE", json.dumps(html).replace("</", "<\\/")))
    dom = chromium(scratch, "--window-size=1600,2400", "--virtual-time-budget=5000", "--dump-dom",
                   f"file://{frames}")
    title = re.search("<title>(.*?)</title>", dom)
    told = json.loads(title[1]) if title and title[1].startswith("{") else {}
    for width in (1100, 390):
        found = told.get(str(width))
        check(f"{width} pixels: nothing is cut off, and each plot has a place",
              found and found["page"] <= found["width"] == width and not found["wide"] and
              not found["small"] and found["plots"] >= plots, f"{found} {dom[:200]}")
        check(f"{width} pixels: the smallest word can be read", found and found["text"] >= 9, found)


def main(name, url, plots):
    with tempfile.TemporaryDirectory(prefix="mayfly-test.") as scratch:
        with urllib.request.urlopen(url, timeout=30) as answer:
            html = answer.read().decode()
        look(scratch, name, url, html, int(plots))
    sys.exit(saved.failed)


if __name__ == "__main__":
    main(*sys.argv[1:])
