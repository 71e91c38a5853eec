#!/usr/bin/env bash
# `make test`: lints, generated files, unit, golden and API-server tests, and the application in a browser.
# Parts by name: `test.sh lint`, `unit`, and `cluster`, the tests on kind, which are a command of their own;
# `generate` writes what is generated.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/load.sh"
. "$E2E_DIR/lib/cargo-tools.sh"
. "$E2E_DIR/lib/checks.sh"
cd "$REPO_DIR"

prepare_checks() {
  [[ -z $(machine_missing) ]] || step "install Debian packages" machine_packages
  ensure_tools "${CLIENT_TOOLS[@]}" "${CHECK_TOOLS[@]}"
  ensure_cargo_tools
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
  check "cargo deny" deny_dependencies
  check "web types and lints" npm --prefix "$WEB" run lint
  check "shellcheck" lint_scripts
  check "chart" lint_chart
  check "generated files" generated_current
}

unit() {
  suite "Rust: unit, golden, API server" "Summary|tests? run" unit_tests
  suite "web: unit" "^ *Tests " web_tests
  suite "browser: application" "^(# |ℹ )pass" browser_tests
}

cluster() {
  prepare_machine
  environment test
  environment_lock
  environment_up
  suite "Rust: kind cluster" "Summary|tests? run" cluster_tests
  suite "browser: platform" "^(# |ℹ )pass" browser_platform_tests
}

prepare_checks
case ${1:-all} in
  all)
    lint
    unit
    ;;
  lint | unit | cluster) "$1" ;;
  generate) step "generate" generate ;;
  *) die "unknown part: $1" ;;
esac
verdict
