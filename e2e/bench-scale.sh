#!/usr/bin/env bash
# `make bench-converge`, `bench-edit`, `bench-backlog`, `bench-api`, `bench-plot`: the operator and the API under load,
# on an API server with played nodes and the simulation's AWS, all of which end with the run.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/load.sh"

ensure_tools "${BENCH_TOOLS[@]}"
use_tools
cd "$REPO_DIR"
cargo build --quiet --locked --workspace --bin bench-scale --bin streaming-operator --bin backend
STREAMING_OPERATOR=$(target_dir)/debug/streaming-operator
BACKEND=$(target_dir)/debug/backend
export STREAMING_OPERATOR BACKEND
"$(target_dir)/debug/bench-scale" "$@"
