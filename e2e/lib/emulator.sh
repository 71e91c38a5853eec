# shellcheck shell=bash
# The AWS emulator: ministack, one process for each environment, bound to the engine's bridge so that
# the host, its browsers and the pods use one endpoint URL. Its state is kept over restarts.

ministack_dir() {
  local key
  key=$({ cat "$E2E_DIR/emulator/requirements.txt" && declare -f build_ministack && python3 -V; } | sha256sum | cut -c1-12)
  echo "$CACHE/ministack/$key"
}

# The venv is renamed once it is whole. Its python finds itself; its scripts name the old path, so ours
# takes the place of the one that is used.
build_ministack() {
  python3 -m venv "$1"
  "$1/bin/python" -m pip install --quiet --disable-pip-version-check -r "$E2E_DIR/emulator/requirements.txt"
  cat >"$1/bin/ministack" <<'SH'
#!/bin/sh
exec "$(dirname "$0")/python" -m ministack "$@"
SH
}

# emulator_alive [DIR]: the emulator that keeps its state there runs; by default this environment's.
emulator_alive() {
  local pid
  pid=$(cat "${1:-$EMULATOR}/pid" 2>/dev/null) && [[ $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null) == *"-m ministack"* ]]
}

# emulators_alive: that of any environment runs.
emulators_alive() {
  local dir
  for dir in "$STATE"/*/emulator; do emulator_alive "$dir" && return; done
  return 1
}

emulator_serves() { emulator_alive && curl -fsS "$AWS_ENDPOINT/_ministack/health"; }

# emulator_is_current: the environment's emulator runs, of this version and with the environment's key.
emulator_is_current() {
  local proc
  emulator_alive && proc=/proc/$(cat "$EMULATOR/pid") && [[ $(tr '\0' ' ' <"$proc/cmdline") == "$(ministack_dir)"/* ]] &&
    grep -qzx "AWS_SECRET_ACCESS_KEY=$AWS_SECRET_ACCESS_KEY" "$proc/environ"
}

# emulator_start: starts the environment's emulator unless it runs; another one in its place is ended.
emulator_start() {
  ! emulator_is_current || return 0
  emulator_down
  ! curl --silent --output /dev/null --max-time 5 "$AWS_ENDPOINT" ||
    die "$AWS_ENDPOINT is where the emulator will be, and another process answers there"
  mkdir -p "$EMULATOR"
  env -u AWS_ENDPOINT_URL PERSIST_STATE=1 STATE_DIR="$EMULATOR/state" S3_PERSIST=1 S3_DATA_DIR="$EMULATOR/s3" \
    BIND_HOST="$ENGINE_BRIDGE" MINISTACK_HOST="$ENGINE_BRIDGE" GATEWAY_PORT="$AWS_PORT" \
    MINISTACK_REGION="$AWS_REGION" SFTP_ENABLED=0 IOT_MTLS_ENABLED=0 LOG_LEVEL=WARNING \
    setsid "$(ministack_dir)/bin/ministack" </dev/null >"$LOGS/emulator-$CLUSTER.log" 2>&1 6>&- 8>&- 9>&- &
  echo $! >"$EMULATOR/pid"
  wait_for 30 "the emulator (log: $LOGS/emulator-$CLUSTER.log)" emulator_serves
}

# emulator_up: installs the emulator, and starts it.
emulator_up() {
  build_once "$(ministack_dir)" build_ministack
  emulator_start
}

# emulator_down: ends the environment's emulator. It writes its state when it is told to end.
emulator_down() {
  local pid
  emulator_alive || return 0
  pid=$(cat "$EMULATOR/pid")
  kill "$pid"
  wait_for 30 "the emulator to stop" bash -c "! kill -0 $pid"
  rm -f "$EMULATOR/pid"
}
