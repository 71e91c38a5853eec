# shellcheck shell=bash
# The checks and test suites of `make test`. Each function is one target of the Makefile or a part of one.

CHART=$REPO_DIR/charts/streaming-operator
WEB=$REPO_DIR/services/frontend/web
BROWSER=$E2E_DIR/browser
COUNTS=()

# suite TITLE PATTERN COMMAND...: runs a test runner with its output shown, and keeps the runner's own
# summary, the last line that matches PATTERN.
suite() {
  local title=$1 pattern=$2 log status=0
  shift 2
  log=$LOGS/suite.$$.log
  say "[$(elapsed)] $title"
  "$@" 2>&1 | tee "$log" || status=$?
  COUNTS+=("$title: $(sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -E "$pattern" | tail -n 1 | sed 's/^ *//')")
  rm -f "$log"
  ((status == 0)) || FAILED+=("$title")
}

# check TITLE COMMAND...: a step whose failure is kept for the end, so that one run tells everything.
check() {
  (step "$@") || FAILED+=("$1")
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

lint_chart() {
  local args=(--set "aws.allowedEndpoints={http://127.0.0.1:4566}") extra
  helm lint --strict "$CHART"
  for extra in "" "--set=replicas=1,watchNamespaces={a}" "--set=metrics.dashboard.enabled=true"; do
    helm template check "$CHART" --namespace check "${args[@]}" ${extra:+"$extra"} |
      kubeconform -strict -summary -schema-location "$SCHEMAS/{{.ResourceKind}}{{.KindSuffix}}.json" -skip CustomResourceDefinition
  done
}

# ---- generated files: written by generate, compared by generated_current

crd_file() { echo "$REPO_DIR/crds/streamingplatforms.yaml"; }

generate() {
  cd "$REPO_DIR"
  mkdir -p crds
  cargo run --quiet --locked --package streaming-operator -- crd >"$(crd_file)"
  cp "$(crd_file)" "$CHART/files/streamingplatforms.yaml"
  helm-docs --chart-search-root "$REPO_DIR/charts"
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
browser_tests() { npm --prefix "$BROWSER" test; }
