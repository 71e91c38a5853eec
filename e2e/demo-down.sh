#!/usr/bin/env bash
# `make demo-down`, or with the argument `test` the tests' environment: takes away the cluster, the
# emulator with its data, and our own Docker engine when nothing else runs on it. The cache stays.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/load.sh"

environment_lock "${1:-demo}"
engine_use
use_tools
environment "${1:-demo}"
environment_down
say "$CLUSTER is gone"
