#!/usr/bin/env bash
# Brings an environment up as far as a running operator: `up.sh demo` or `up.sh test`. What is there is
# reused. The machine's packages, tools, engine and images come first, each only if it is missing.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/load.sh"

environment_lock "${1:?which environment: demo or test}"
environment_up
