#!/usr/bin/env bash
# `make bench-queue`: message → Job against a bare long poll and create, on the running demo's cluster and emulator.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/load.sh"

engine_use
use_tools
environment demo
cd "$REPO_DIR"
cargo build --quiet --locked --workspace --bin bench-queue
"$(target_dir)/debug/bench-queue" "$@"
