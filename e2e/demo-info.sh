#!/usr/bin/env bash
# `make -s demo-info`: one JSON object that tells scripts where the running demo is.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/load.sh"

engine_use
use_tools
environment "${1:-demo}"
platform_info || die "no platform answers; is the demo up? (make demo)"
