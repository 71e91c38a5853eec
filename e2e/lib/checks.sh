# shellcheck shell=bash
# The checks and test suites of `make test`. Each function is one target of the Makefile or a part of one.

CHART=$REPO_DIR/charts/streaming-operator
WEB=$REPO_DIR/services/frontend/web
BROWSER=$E2E_DIR/browser
COUNTS=()

# suite TITLE PATTERN COMMAND...: runs a test runner with its output shown, and keeps the runner's own
# summary, the last line that matches PATTERN.
suite() {
  local title=$1 pattern=$2 log status
  shift 2
  log=$LOGS/suite.$$.log
  say "[$(elapsed)] $title"
  set +e
  (set -e; "$@") 2>&1 | tee "$log"
  status=$?
  set -e
  COUNTS+=("$title: $(sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -E "$pattern" | tail -n 1 | sed 's/^ *//')")
  rm -f "$log"
  if ((status)); then FAILED+=("$title"); fi
}

# check TITLE COMMAND...: a step whose failure is kept for the end, so that one run tells everything.
check() {
  local status
  set +e
  (set -e; step "$@")
  status=$?
  set -e
  if ((status)); then FAILED+=("$1"); fi
}

# verdict: the runners' counts, and what failed.
FAILED=()
verdict() {
  local line
  say
  for line in "${COUNTS[@]}"; do say "  $line"; done
  for line in "${FAILED[@]}"; do say "  FAILED: $line"; done
  ((${#FAILED[@]} == 0)) || die "${#FAILED[@]} of the checks failed ($(elapsed))"
  say "[$(elapsed)] everything passed"
}

# ---- format, lints, generated files

scripts() { git -C "$REPO_DIR" grep -lE '^(#!.*sh$|# shellcheck shell=)' -- .ci e2e services; }

lint_scripts() {
  cd "$REPO_DIR"
  scripts | xargs shellcheck
}

# Licences, sources and duplicates are checked everywhere; advisories where their database can be fetched.
deny_dependencies() {
  local checks=(bans licenses sources)
  cd "$REPO_DIR"
  if GIT_TERMINAL_PROMPT=0 timeout 30 git ls-remote --exit-code https://github.com/RustSec/advisory-db HEAD; then
    checks+=(advisories)
  else
    echo "the advisory database can't be reached: advisories are not checked"
  fi
  cargo deny --locked check "${checks[@]}"
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
  cargo build --quiet --locked --package streaming-operator
  operator=${CARGO_TARGET_DIR:-$REPO_DIR/target}/debug/streaming-operator
  mkdir -p crds
  write_whole crds/streamingplatforms.yaml "$operator" crd
  write_whole "$rules/rules.yaml" "$operator" rbac
  write_whole "$rules/leader-election-rules.yaml" "$operator" rbac --leader-election
  helm-docs --chart-search-root "$REPO_DIR/charts"
}

# write_whole FILE COMMAND...: the command's output into the file, unless the command fails.
write_whole() {
  local file=$1
  shift
  "$@" >"$STATE/generated"
  cp "$STATE/generated" "$file"
}

generated_current() {
  local before
  cd "$REPO_DIR"
  before=$(hash_of crds charts)
  generate
  [[ $(hash_of crds charts) == "$before" ]] || die "crds/ or the chart's README are out of date: run \`make generate\` and commit"
}

# ---- tests

unit_tests() { cd "$REPO_DIR" && cargo nextest run --locked --workspace --no-tests pass -E 'not binary(/^kind_/)'; }
cluster_tests() { cd "$REPO_DIR" && cargo nextest run --locked --package e2e --no-tests pass -E 'binary(/^kind_/)'; }
web_tests() { npm --prefix "$WEB" test; }

# The application in Chromium, with a backend that the test plays.
browser_tests() {
  build_once "$(web_dir)" build_web
  (cd "$REPO_DIR" && cargo build --locked --package frontend)
  WEB_ROOT=$(web_dir) FRONTEND_BIN=$(target_dir)/debug/frontend npm --prefix "$BROWSER" test
}

# The application in Chromium, on the example platform in the cluster.
browser_platform_tests() {
  platform_apply
  platform_ready
  API_TOKEN=$(platform_token) npm --prefix "$BROWSER" run test:platform
}
