#!/usr/bin/env bash
# `make sbom`: SBOM and provenance of images, and whether they are true. Without arguments of the images that an
# environment's last build made; with NAME=IMAGE arguments of these, as of a release that was pushed:
# `e2e/sbom.sh operator=registry.example.com/streaming/operator:0.1.0 …`. They are written to SBOM_DIR, else beside
# the images' build folders.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/load.sh"
. "$E2E_DIR/lib/checks.sh"
. "$E2E_DIR/lib/sbom.sh"

# use_built: the environment that has images; the demo before the tests.
use_built() {
  local name
  for name in demo test; do
    environment "$name"
    [[ ! -e $STATE/$CLUSTER/images/operator.source ]] || return 0
  done
  die "no images: run \`make demo\` or \`make e2e-up\`, or name them as NAME=IMAGE"
}

# describe NAME IMAGE SOURCE
describe() {
  step "SBOM of $1" sbom_image "$1" "$2" "$SBOM_DIR"
  step "provenance of $1" provenance_image "$1" "$2" "$SBOM_DIR" "$3"
  check "truth of both" sbom_true "$1" "$2" "$SBOM_DIR"
}

engine_use
ensure_tools "${SBOM_TOOLS[@]}"
SBOM_DIR=${SBOM_DIR:-$STATE/sbom}
mkdir -p "$SBOM_DIR"
if (($#)); then
  for pair in "$@"; do describe "${pair%%=*}" "${pair#*=}" "$(image_source)"; done
else
  use_built
  for name in "${IMAGE_NAMES[@]}"; do
    describe "$name" "$(image_ref "$name")" "$(cat "$STATE/$CLUSTER/images/$name.source")"
  done
fi
COUNTS+=("written to $SBOM_DIR")
verdict
