#!/usr/bin/env bash
# `make test`: lints, generated files, unit, golden and API-server tests, the application in a browser, and the
# whole on a kind cluster. That one is the environment `test`, which a demo may run beside; it stays up for the
# next run until `make e2e-down`. Parts by name: `test.sh lint`, `unit`, `cluster`, and `faults`, `soak` and
# `fuzz`, which `all` does without; `generate` writes what is generated.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/load.sh"
. "$E2E_DIR/lib/checks.sh"
cd "$REPO_DIR"

prepare_checks() {
  machine_ready
  ensure_tools "${CLIENT_TOOLS[@]}" "${CHECK_TOOLS[@]}"
  ensure_cargo_tools "${CARGO_TOOLS[@]}"
  [[ -e $(ministack_dir) ]] || step "install ministack" build_once "$(ministack_dir)" build_ministack
  use_tools
  step "npm packages" npm_packages
}

npm_packages() {
  npm_install "$WEB"
  npm_install "$BROWSER"
}

lint() {
  check "cargo fmt" cargo fmt --all --check
  check "clippy" cargo clippy --locked --workspace --all-targets -- --deny warnings
  lint_dependencies
  check "web types and lints" npm --prefix "$WEB" run lint
  check "shellcheck" lint_scripts
  check "chart" lint_chart
  check "places of the mutants" "$E2E_DIR/mutations/run.py" --check
  check "generated files" generated_current
}

unit() {
  ensure_cargo_tools "$FAKECLOUD_TOOL"
  # Calls to AWS that the tests make, for the last of these.
  export STREAMING_OPERATOR_AWS_CALLS=$LOGS/aws-calls.$$
  rm -f "$STREAMING_OPERATOR_AWS_CALLS"
  suite "Rust: unit, golden" "Summary|tests? run" unit_tests
  suite "Rust: API server" "^test result" apiserver_tests
  check "IAM policy: calls as recorded" iam_test
  suite "web: unit" "^ *Tests " web_tests
  suite "browser: application" "^(# |ℹ )pass" browser_tests
}

# Everything that is broken on purpose: in the simulated world, and on the tests' cluster.
faults() {
  suite "Rust: crash at every request" "Summary|tests? run" faults_tests
  ensure_tools "${FAULT_TOOLS[@]}"
  environment_lock test
  keep "the tests' cluster" environment_up
  ((KEPT == 0)) || return 0
  engine_use
  environment test
  suite "Rust: faults of the cluster" "Summary|tests? run" cluster_faults_tests
}

# It says itself how far it is.
soak() { soak_tests; }

fuzz() { suite "Rust: fuzzers" "^test result" fuzz_tests; }

cluster() {
  ensure_cargo_tools "$FAKECLOUD_TOOL"
  environment_lock test
  keep "the tests' cluster" environment_up
  ((KEPT == 0)) || return 0
  engine_use
  environment test
  canary_start
  suite "Rust: kind cluster" "Summary|tests? run" cluster_tests
  suite "browser: platform" "^(# |ℹ )pass" browser_platform_tests
  suite "secrets canary" "values of Secrets|^error" canary_check
}

prepare_checks
case ${1:-all} in
  all)
    lint
    unit
    cluster
    ;;
  lint | unit | cluster | faults | soak | fuzz) "$1" ;;
  generate)
    step "generate" generate
    step "lives of the examples" generate_lives
    ;;
  *) die "unknown part: $1" ;;
esac
verdict
