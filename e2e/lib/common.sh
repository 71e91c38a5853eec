# shellcheck shell=bash
# What every script here shares: paths, messages with elapsed time, and the cache of slow builds.

E2E_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
REPO_DIR=$(dirname "$E2E_DIR")
CACHE=${STREAMING_OPERATOR_CACHE:-$HOME/.cache/streaming-operator}
STATE=$CACHE/state
LOGS=$CACHE/logs
export E2E_DIR REPO_DIR CACHE STATE LOGS

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

[[ $CACHE == /* && $CACHE$REPO_DIR != *[[:space:]]* ]] ||
  die "the checkout and the cache need absolute paths without blanks: $REPO_DIR and $CACHE (STREAMING_OPERATOR_CACHE)"
mkdir -p "$STATE" "$LOGS"

# Minutes and seconds since the first script of this run started; children inherit the start.
: "${RUN_STARTED:=$EPOCHSECONDS}"
export RUN_STARTED
elapsed() { local s=$((EPOCHSECONDS - RUN_STARTED)); printf '%d:%02d' $((s / 60)) $((s % 60)); }

# hash_of FILE...: one short hash over the names and contents of files, or of whole folders.
hash_of() {
  find "$@" -type f -print0 | sort -z | xargs -0 sha256sum | sed "s|$REPO_DIR/||" | sha256sum | cut -c1-12
}

# A run that is told to end takes the step that it waits for with it: the whole process group. A subshell
# forgets its parent's traps, so each that runs steps sets them again.
STEP=
end_with_step() {
  trap '[[ -z $STEP ]] || kill -- "-$STEP" 2>/dev/null || true' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}
end_with_step

# step TITLE COMMAND...: runs a long command with its output in a log. It prints a line at the start,
# a heartbeat with the log's last line every 15 s, and the time it took; the log's end when it fails.
step() {
  local title=$1 log status=0 began
  shift
  end_with_step
  log=$LOGS/$(tr -cs 'a-zA-Z0-9\n' - <<<"$title").$$.log
  began=$EPOCHSECONDS
  say "[$(elapsed)] $title"
  set -m # a process group of its own
  ("$@") >"$log" 2>&1 </dev/null &
  STEP=$!
  set +m
  heartbeat "$STEP" "$title" "$log" "$began" &
  wait "$STEP" || status=$?
  STEP=
  wait $! || true
  if ((status)); then
    tail -n 40 "$log" >&2
    die "$title failed (status $status); the whole log is $log"
  fi
  say "[$(elapsed)] $title: done in $((EPOCHSECONDS - began)) s"
  rm -f "$log"
}

# Says that a step is still at work, until its process is gone.
heartbeat() {
  local pid=$1 title=$2 log=$3 began=$4 next=15 age
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    age=$((EPOCHSECONDS - began))
    ((age < next)) && continue
    next=$((next + 15))
    say "[$(elapsed)]   … $title, $age s: $(tail -n 1 "$log" | tr -d '\r' | cut -c1-110)"
  done
}

# build_once PATH COMMAND...: makes the cache entry PATH unless it is there. COMMAND gets an empty
# folder as its last argument, which becomes PATH by one rename: an entry is whole or absent.
# A lock lets two runs build the same entry once.
build_once() {
  local path=$1 tmp
  shift
  [[ -e $path ]] && return
  mkdir -p "$(dirname "$path")"
  (
    exec 9>"$path.lock"
    flock 9
    [[ -e $path ]] && exit
    rm -rf "$path".tmp.*
    tmp=$(mktemp -d "$path.tmp.XXXXXX")
    "$@" "$tmp" 9>&-
    chmod 755 "$tmp"
    mv -T "$tmp" "$path"
  )
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds, or dies when the time is up.
wait_for() {
  local deadline=$((EPOCHSECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((EPOCHSECONDS < deadline)) || die "gave up waiting for $what"
    sleep 0.2
  done
}
