# shellcheck shell=bash
# The checks and test suites of `make test`. Each function is one target of the Makefile or a part of one.

CHART=$REPO_DIR/charts/streaming-operator
WEB=$REPO_DIR/services/frontend/web
BROWSER=$E2E_DIR/browser
RDS_CA=$E2E_DIR/tools/rds-ca
# What compiling fakecloud takes, and the server behind its caches; the one behind its databases is there.
MACHINE_NEEDS+="
/usr/lib/llvm-14/lib/libclang.so libclang-dev
/usr/bin/protoc protobuf-compiler
/usr/bin/redis-check-rdb redis-tools
"
# With what `make faults` moves a clock.
MACHINE_NEEDS+="
/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1 libfaketime
"
# What the runners counted, what was left out, and what failed.
COUNTS=() SKIPPED=() FAILED=()

# keep TITLE COMMAND...: runs the command in a subshell. A failure is kept for the end, so that one run tells
# everything; KEPT is the status.
keep() {
  local title=$1
  shift
  set +e
  (set -e; "$@")
  KEPT=$?
  set -e
  ((KEPT == 0)) || FAILED+=("$title")
}

check() { keep "$1" step "$@"; }

# suite TITLE PATTERN COMMAND...: runs a test runner with its output shown, and keeps the runner's own
# summary, the last line that matches PATTERN.
suite() {
  local title=$1 pattern=$2 log=$LOGS/suite.$$.log summary
  shift 2
  say "[$(elapsed)] $title"
  keep "$title" shown "$log" "$@"
  summary=$(sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -E "$pattern" | tail -n 1 | sed 's/^ *//') || true
  COUNTS+=("$title: ${summary:-no summary}")
  rm -f "$log"
}

# shown LOG COMMAND...: the command's output on the terminal and in the log.
shown() {
  local log=$1
  shift
  "$@" 2>&1 | tee "$log"
}

verdict() {
  local line
  say
  for line in "${COUNTS[@]}"; do say "  $line"; done
  for line in "${SKIPPED[@]}"; do say "  SKIPPED: $line"; done
  for line in "${FAILED[@]}"; do say "  FAILED: $line"; done
  ((${#FAILED[@]} == 0)) || die "${#FAILED[@]} of the checks failed ($(elapsed))"
  say "[$(elapsed)] $( ((${#SKIPPED[@]})) && echo "what was checked" || echo everything) passed"
}

# ---- format, lints, generated files

scripts() { git -C "$REPO_DIR" grep -lE '^(#!.*sh$|# shellcheck shell=)' -- .ci e2e services; }

lint_scripts() {
  cd "$REPO_DIR"
  scripts | xargs shellcheck
}

ADVISORY_DB=https://github.com/RustSec/advisory-db

# Licences, sources and duplicates are checked everywhere; advisories where their database can be fetched. Of the two
# readers of that database, cargo deny knows which platforms are built for, and cargo audit tells of what is yanked
# or unmaintained deep in the tree.
lint_dependencies() {
  local checks=(bans licenses sources) error
  if error=$(GIT_TERMINAL_PROMPT=0 timeout 30 git ls-remote --exit-code "$ADVISORY_DB" HEAD 2>&1 >/dev/null); then
    checks+=(advisories)
    ensure_cargo_tools "$AUDIT_TOOL"
    check "cargo audit" cargo audit --file "$REPO_DIR/Cargo.lock"
  else
    SKIPPED+=("cargo audit, and the advisories of cargo deny: $ADVISORY_DB can't be reached: $(tail -n 1 <<<"$error")")
  fi
  check "cargo deny" cargo deny --locked check "${checks[@]}"
  lint_npm
}

# npm_locks: the folders with a lock file of npm.
npm_locks() { git -C "$REPO_DIR" ls-files '*package-lock.json' | xargs -n 1 dirname; }

# npm audit says what it found, or that it could not ask: only a report counts as an answer.
lint_npm() {
  local folder report
  for folder in $(npm_locks); do
    report=$LOGS/npm-audit.$$.json
    (cd "$REPO_DIR/$folder" && timeout 60 npm audit --package-lock-only --json >"$report" 2>/dev/null) || true
    if jq -e .auditReportVersion "$report" >/dev/null 2>&1; then
      check "npm audit of $folder" npm_judge "$report"
    else
      SKIPPED+=("npm audit of $folder: $(jq -r '.message // .error.summary // "no answer"' "$report" 2>/dev/null | head -n 1)")
    fi
    rm -f "$report"
  done
}

# npm_judge REPORT: fails where a package has a vulnerability, and names it.
npm_judge() {
  jq -r '.vulnerabilities[] | "\(.name) \(.range): \(.severity): \([.via[] | objects | .title] | join("; "))"' "$1"
  jq -e '.metadata.vulnerabilities.total == 0' "$1" >/dev/null
}

# kubeconform's usual schemas come from the network; ours are made of the Kubernetes module's own.
schemas_dir() { echo "$CACHE/schemas/$KUBERNETES_VERSION-$(hash_of "$E2E_DIR/lib/schemas.py")"; }

build_schemas() {
  local kubernetes
  kubernetes=$(cd "$E2E_DIR/tools/kubernetes" && go mod download -json k8s.io/kubernetes | jq -r .Dir)
  python3 "$E2E_DIR/lib/schemas.py" "$kubernetes/api/openapi-spec/swagger.json" "$1"
}

# The chart by its defaults and with everything switched on.
lint_chart() {
  local values
  build_once "$(schemas_dir)" build_schemas
  helm lint --strict "$CHART"
  for values in "replicas=2" \
    "metrics.dashboard.enabled=true,metrics.serviceMonitor.enabled=true,watchNamespaces={media},aws.allowedEndpoints={http://127.0.0.1:4566},priorityClassName=high"; do
    helm template check "$CHART" --namespace check --set "$values" | kubeconform -strict -summary -skip ServiceMonitor \
      -schema-location "$(schemas_dir)/{{.ResourceKind}}{{.KindSuffix}}.json"
  done
}

# ---- generated files

generate() {
  local operator rules=charts/streaming-operator/files
  cd "$REPO_DIR"
  cargo build --quiet --locked --workspace --bin streaming-operator
  operator=${CARGO_TARGET_DIR:-$REPO_DIR/target}/debug/streaming-operator
  mkdir -p crds
  write_whole crds/streamingplatforms.yaml "$operator" crd
  write_whole "$rules/rules.yaml" "$operator" rbac
  write_whole "$rules/leader-election-rules.yaml" "$operator" rbac --leader-election
  npm_install "$RDS_CA"
  write_whole src/apply/rds-ca.pem node "$RDS_CA/bundle.mjs"
  UPDATE_DOCS=1 cargo test --quiet --locked --package streaming-operator --test docs >/dev/null
  helm-docs --chart-search-root "$REPO_DIR/charts"
}

# The stories of the examples' lives, which its unit test compares.
generate_lives() {
  UPDATE_DOCS=1 cargo test --quiet --locked --package simulation --test operator life >/dev/null
}

# write_whole FILE COMMAND...: the command's output into the file, unless the command fails.
write_whole() {
  local file=$1 text
  shift
  text=$("$@") || return
  printf '%s\n' "$text" >"$file"
}

generated_current() {
  local before
  cd "$REPO_DIR"
  before=$(hash_of crds charts docs src/apply/rds-ca.pem)
  generate
  [[ $(hash_of crds charts docs src/apply/rds-ca.pem) == "$before" ]] || die "generated files are out of date: run \`make generate\` and commit"
}

# ---- tests

unit_tests() { cargo nextest run --locked --workspace --no-tests fail -E 'not binary(/^kind_|^apiserver$/)'; }

# As one process: it starts one API server for all, where nextest would have it start one for each test.
# More at a time than there are processors: these tests wait for controllers most of the time.
apiserver_tests() { cargo test --locked --workspace --test apiserver -- --test-threads 6; }

# Every fault of the simulation, of which unit_tests takes a sample, and how many lives that were: thousands, so it is
# optimised.
faults_tests() {
  local lives=$LOGS/lives.$$ status=0
  : >"$lives"
  STREAMING_OPERATOR_LIVES=$lives \
    cargo nextest run --locked --cargo-profile soak --package simulation --test whole --run-ignored all --no-tests fail ||
    status=$?
  sort "$lives" | awk -F '\t' '
    { printf "%6d lives, %s: %s\n", $2, $3, $1; all += $2 }
    END { printf "%d lives in %d tests\n", all, NR }'
  rm -f "$lives"
  return "$status"
}

# Random lives, from SEED on (else a random one), as many as SEEDS (else until it is stopped). Optimised, too.
soak_tests() {
  cargo test --locked --profile soak --package simulation --test seeds -- --ignored --exact soak_goes_on --nocapture
}

# As in unit_tests, with more inputs.
fuzz_tests() { PROPTEST_CASES=${CASES:-20000} cargo test --locked --workspace --test messages --test manifests --test jobs; }

# Each writes its row of docs/faults.md. Unoptimised, they take more stack than the 2 MiB of a test's thread.
cluster_faults_tests() {
  platform_delete
  RUST_MIN_STACK=$((16 << 20)) cargo nextest run --locked --workspace --test kind_chaos --run-ignored all --no-tests fail
}

# Compares the operator's policy with what all tests before recorded.
iam_test() { cargo test --locked --workspace --test iam -- --ignored; }

# One of them wants the node port that a platform has which an earlier run left.
cluster_tests() {
  platform_delete
  cargo nextest run --locked --workspace --no-tests fail --test 'kind_*'
}

# The canary follows the cluster from before the tests until its check, or the end of this script. The operator sends
# it traces, as do the services of the platforms that the tests in Rust make. What it writes down holds secrets, if only
# of tests.
canary_start() {
  local witness
  (cd "$REPO_DIR" && cargo build --quiet --locked --workspace --bin witness)
  witness=$(target_dir)/debug/witness
  install -d -m 700 "$STATE/$CLUSTER/canary"
  setpriv --pdeathsig TERM "$witness" record "$STATE/$CLUSTER/canary" "$TRACES_ADDRESS" \
    >"$LOGS/canary.log" 2>&1 </dev/null &
  echo $! >"$STATE/$CLUSTER/canary/pid"
  export CANARY_TRACES=http://$TRACES_ADDRESS
  helm upgrade streaming-operator "$REPO_DIR/charts/streaming-operator" --namespace "$OPERATOR_NAMESPACE" \
    --reuse-values --set "otlp.endpoint=$CANARY_TRACES" --wait --timeout 3m
}

canary_check() {
  local status=0
  "$(target_dir)/debug/witness" check "$STATE/$CLUSTER/canary" || status=$?
  kill "$(cat "$STATE/$CLUSTER/canary/pid")" || { cat "$LOGS/canary.log" && status=1; }
  rm -rf "$STATE/$CLUSTER/canary"
  return "$status"
}

web_tests() { npm --prefix "$WEB" test; }

# The application in Chromium, with a backend that the test plays.
browser_tests() {
  build_once "$(web_dir)" build_web
  (cd "$REPO_DIR" && cargo build --locked --workspace --bin frontend)
  WEB_ROOT=$(web_dir) FRONTEND_BIN=$(target_dir)/debug/frontend npm --prefix "$BROWSER" test
}

# The application in Chromium, on the example platform in the cluster. Where it fails, the platform stays to
# be looked at.
browser_platform_tests() {
  platform_apply
  platform_ready
  API_TOKEN=$(platform_token) npm --prefix "$BROWSER" run test:platform
  platform_delete
}
