# shellcheck shell=bash
# The Docker engine: one that is there and can pull images, else a dockerd of our own, which keeps its
# data, socket and network to itself. Exports DOCKER_HOST for the second.

ENGINE=$STATE/engine
ENGINE_DATA=$CACHE/engine-data
ENGINE_BRIDGE=172.31.240.1
ENGINE_CIDR=$ENGINE_BRIDGE/24
ENGINE_POOL=172.31.241.0/24

# engine_alive: our own dockerd runs.
engine_alive() {
  [[ -s $ENGINE/pid ]] && [[ $(cat "/proc/$(cat "$ENGINE/pid")/comm" 2>/dev/null) == dockerd ]]
}

# A working engine that can pull, shown by an image that is needed anyway: pulled before or now.
engine_foreign() {
  timeout 10 docker version || return
  [[ $(docker image inspect --format '{{len .RepoDigests}}' debian:bookworm-slim) == [1-9]* ]] ||
    timeout 120 docker pull --quiet debian:bookworm-slim
}

engine_start() {
  exec 7>"$ENGINE/lock"
  flock 7
  engine_alive && return
  rm -rf "$ENGINE/exec" "$ENGINE/pid"
  mkdir -p "$ENGINE/exec" "$ENGINE_DATA"
  setsid dockerd --oom-score-adjust=0 --data-root "$ENGINE_DATA" --exec-root "$ENGINE/exec" \
    --pidfile "$ENGINE/pid" --host "unix://$ENGINE/docker.sock" \
    --bip "$ENGINE_CIDR" --default-address-pool "base=$ENGINE_POOL,size=26" \
    --add-runtime "local=$E2E_DIR/engine/oci-runtime" --default-runtime local \
    --log-driver json-file --log-opt max-size=10m \
    </dev/null >"$LOGS/dockerd.log" 2>&1 7>&- 8>&- 9>&- &
  wait_for 60 "dockerd (log: $LOGS/dockerd.log)" docker --host "unix://$ENGINE/docker.sock" version
  # kind would make this network open to every interface of the machine; ours binds to loopback.
  docker --host "unix://$ENGINE/docker.sock" network inspect kind >/dev/null 2>&1 ||
    docker --host "unix://$ENGINE/docker.sock" network create kind \
      --opt com.docker.network.bridge.host_binding_ipv4=127.0.0.1 \
      --opt com.docker.network.driver.mtu=1500
}

# engine_use: picks the engine and points this shell at it. ENGINE_OWN is 1 for our own dockerd.
engine_use() {
  mkdir -p "$ENGINE"
  ENGINE_OWN=1
  if ! engine_alive && engine_foreign >/dev/null 2>&1; then ENGINE_OWN=0; fi
  if ((ENGINE_OWN)); then
    export DOCKER_HOST=unix://$ENGINE/docker.sock DOCKER_BUILDKIT=0
  else
    ENGINE_BRIDGE=$(docker network inspect bridge --format '{{(index .IPAM.Config 0).Gateway}}')
  fi
  export ENGINE_OWN ENGINE_BRIDGE
}

# engine_up: picks the engine and starts ours if it is the one.
engine_up() {
  engine_use
  if ((ENGINE_OWN)) && ! engine_alive; then step "start the Docker engine" engine_start; fi
}

# engine_down: ends our own dockerd, with whatever it runs. Images stay in the cache.
engine_down() {
  local pid
  engine_alive || return 0
  pid=$(cat "$ENGINE/pid")
  docker network rm kind || true
  kill "$pid"
  wait_for 60 "dockerd to stop" bash -c "! kill -0 $pid"
  ip link delete docker0 2>/dev/null || true
}
