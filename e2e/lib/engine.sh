# shellcheck shell=bash
# The Docker engine: one that is there and can pull images, else a dockerd of our own, which keeps its
# data, socket and network to itself. Exports DOCKER_HOST for the second.

ENGINE=$STATE/engine
ENGINE_DATA=$CACHE/engine-data
# A bridge of our own: another dockerd may have docker0.
ENGINE_LINK=streaming0
ENGINE_BRIDGE=172.31.240.1
ENGINE_CIDR=$ENGINE_BRIDGE/24
ENGINE_POOL=172.31.241.0/24

# engine_alive: our own dockerd runs. One that was killed and is not yet reaped has no command line.
engine_alive() {
  [[ -s $ENGINE/pid ]] && grep -sq dockerd "/proc/$(cat "$ENGINE/pid")/cmdline"
}

# A working engine that can pull, shown by an image that is needed anyway: pulled before or now.
engine_foreign() {
  timeout 10 docker version || return
  [[ $(docker image inspect --format '{{len .RepoDigests}}' debian:bookworm-slim) == [1-9]* ]] ||
    timeout 120 docker pull --quiet debian:bookworm-slim
}

# engine_ready: it answers, and the clusters' network is there.
engine_ready() { engine_alive && docker network inspect kind; }

# engine_tidy: clears away files, mounts and networks that a dockerd left. Where its containerd or containers
# live on, they are for the next dockerd, which takes them over and ends them.
engine_tidy() {
  pgrep -f -- "$ENGINE/exec/" >/dev/null && return
  awk -v exec="$ENGINE/exec" -v data="$ENGINE_DATA" 'index($2, exec) == 1 || index($2, data) == 1 { print $2 }' /proc/mounts |
    sort -r | xargs --no-run-if-empty umount
  rm -rf "$ENGINE/exec" "$ENGINE/pid"
  ip -o -4 address show to "$ENGINE_POOL" | awk '{ print $2 }' | xargs --no-run-if-empty -n 1 ip link delete
  ip link delete "$ENGINE_LINK" 2>/dev/null || true
}

engine_link() {
  local other
  ip link show "$ENGINE_LINK" >/dev/null 2>&1 || ip link add name "$ENGINE_LINK" type bridge
  other=$(ip -o -4 address show to "$ENGINE_CIDR" | awk -v link="$ENGINE_LINK" '$2 != link { print $2 }')
  [[ -z $other ]] || die "the network interface $other has an address of $ENGINE_CIDR, which the engine needs"
  ip address replace "$ENGINE_CIDR" dev "$ENGINE_LINK"
  ip link set "$ENGINE_LINK" up
}

# The runtime is copied: the engine outlives the checkout that started it.
engine_start() {
  exec 7>"$ENGINE/lock"
  flock 7
  if ! engine_alive; then
    engine_tidy
    engine_link
    mkdir -p "$ENGINE/exec" "$ENGINE_DATA"
    install "$E2E_DIR/engine/oci-runtime" "$ENGINE/oci-runtime"
    setsid dockerd --oom-score-adjust=0 --data-root "$ENGINE_DATA" --exec-root "$ENGINE/exec" \
      --pidfile "$ENGINE/pid" --host "$DOCKER_HOST" \
      --bridge "$ENGINE_LINK" --default-address-pool "base=$ENGINE_POOL,size=26" \
      --add-runtime "local=$ENGINE/oci-runtime" --default-runtime local \
      --log-driver json-file --log-opt max-size=10m \
      </dev/null >"$LOGS/dockerd.log" 2>&1 6>&- 7>&- 8>&- 9>&- &
  fi
  wait_for 60 "dockerd (log: $LOGS/dockerd.log)" docker version
  # kind would make this network open to every interface of the machine; ours binds to loopback.
  docker network inspect kind >/dev/null 2>&1 ||
    docker network create kind \
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
  ((ENGINE_OWN)) || return 0
  ((EUID == 0)) || die "no Docker engine here can pull images, and only root can start one: be root, or start Docker"
  engine_ready >/dev/null 2>&1 || step "start the Docker engine" engine_start
}

# engine_lock: until this process ends, no other ends the engine.
engine_lock() {
  mkdir -p "$ENGINE"
  exec 6>"$ENGINE/users"
  flock --shared 6
}

# engine_down: ends our own dockerd unless something uses it. Images stay in the cache.
engine_down() {
  local pid
  if engine_alive; then
    if ! flock --nonblock 6 || [[ -n $(docker ps --quiet) ]] || emulators_alive; then return; fi
    pid=$(cat "$ENGINE/pid")
    docker network rm kind || true
    kill "$pid"
    wait_for 60 "dockerd to stop" bash -c "! kill -0 $pid"
  fi
  engine_tidy
}
