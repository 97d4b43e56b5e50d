#!/usr/bin/env bash
# Makes the pictures of the README from a real run of the demo: docs/images/demo.svg, console.png and console-dark.png.
#
#   scripts/pictures.sh                      builds `bowline` with optimisation first
#   scripts/pictures.sh target/…/bowline     takes a built one
#
# Needs Python 3 and a Chromium. The fonts of the machine show in the pictures of the console.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bowline=${1:-}
if [[ -z $bowline ]]; then
  cargo build --release --package bowline
  bowline=target/release/bowline
fi
for name in chromium chromium-browser google-chrome google-chrome-stable; do
  if browser=$(command -v "$name"); then break; fi
done
if [[ -z ${browser:-} ]]; then
  echo "error: there is no Chromium on the PATH" >&2
  exit 1
fi
mkdir -p docs/images
exec python3 scripts/pictures.py --bowline "$bowline" --browser "$browser" --out docs/images
