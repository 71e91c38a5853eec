#!/usr/bin/env bash
# `make bench-queue`, `bench-converge`, `bench-edit`, `bench-backlog`, `bench-api`, `bench-plot`: the operator and the
# API under load, on an API server with played nodes and the simulation's AWS, all of which end with the run.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/load.sh"

ensure_tools "${BENCH_TOOLS[@]}"
use_tools
if [[ ${1:-} == queue ]]; then
  ensure_tools keda
  KEDA=$(tool_dir keda)/operator
  KEDA_CRDS=$(module_dir keda github.com/kedacore/keda/v2)/config/crd/bases
  export KEDA KEDA_CRDS
fi
cd "$REPO_DIR"
# As users run them: without optimisation the processor is the limit, and nothing else shows.
step "release build" cargo build --locked --release --workspace --bin bench-scale --bin streaming-operator --bin backend
BINARIES=$(target_dir)/release
STREAMING_OPERATOR=$BINARIES/streaming-operator
BACKEND=$BINARIES/backend
export STREAMING_OPERATOR BACKEND
# In this process's place, so that a signal to it reaches the benchmark.
exec "$BINARIES/bench-scale" "$@"
