# shellcheck shell=bash
# The kind cluster of an environment: created with our node image where none can be pulled.

# The kind node image that goes with the pinned kind, and what it is called when it is our own.
node_image_name() {
  if ((ENGINE_OWN)); then
    echo "streaming-operator/node:$(basename "$(node_image_dir)")"
  else
    echo "kindest/node:$KUBERNETES_VERSION"
  fi
}

# Puts our own node image into the engine.
node_image_load() {
  local name
  name=$(node_image_name)
  docker image inspect "$name" >/dev/null 2>&1 && return
  docker import --change 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/lib/systemd/systemd"]' \
    --change 'ENV container=docker' "$(node_image_dir)/rootfs.tar" "$name"
}

# Pods ask the name servers of this machine; those on a loopback address can't be reached from a pod.
cluster_resolv_conf() {
  awk '$1 == "nameserver" && $2 !~ /^127\.|^::1/' /etc/resolv.conf | grep . || echo "nameserver $ENGINE_BRIDGE"
}

cluster_config() {
  local dir=$STATE/$CLUSTER
  cluster_resolv_conf >"$dir/resolv.conf"
  cat <<YAML
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
networking:
  serviceSubnet: 10.112.0.0/16
  podSubnet: 10.244.0.0/16
  kubeProxyMode: nftables
  disableDefaultCNI: $( ((ENGINE_OWN)) && echo true || echo false)
nodes:
  - role: control-plane
    extraPortMappings:
      - {containerPort: 30080, hostPort: $FRONTEND_PORT, listenAddress: 127.0.0.1}
    extraMounts:
      - {hostPath: $dir/resolv.conf, containerPath: /kind/resolv.conf, readOnly: true}
kubeadmConfigPatches:
  - |
    kind: KubeletConfiguration
    failCgroupV1: false
    resolvConf: /kind/resolv.conf
YAML
}

cluster_exists() { kind get clusters 2>/dev/null | grep -qx "$CLUSTER"; }

cluster_healthy() {
  cluster_exists && kubectl get --raw /readyz --request-timeout 5s >/dev/null 2>&1
}

cluster_create() {
  cluster_exists && kind delete cluster --name "$CLUSTER"
  cluster_config >"$STATE/$CLUSTER/kind.yaml"
  kind create cluster --name "$CLUSTER" --config "$STATE/$CLUSTER/kind.yaml" \
    --image "$(node_image_name)" --kubeconfig "$KUBECONFIG" --wait 180s 8>&-
  # Written anew, so that the node's containers share the engine's default capabilities.
  kubectl apply -f "$E2E_DIR/cluster/metrics-server.yaml"
}

# A stopped cluster, after a restart of the machine or its engine, comes back as it was.
cluster_restart() {
  docker start "$CLUSTER-control-plane"
  wait_for 120 "the API server" kubectl get --raw /readyz --request-timeout 5s
}

# cluster_up: the environment's cluster, reused when it is there and answers.
cluster_up() {
  cluster_healthy && return
  if cluster_exists && [[ $(docker inspect -f '{{.State.Running}}' "$CLUSTER-control-plane") == false ]]; then
    step "start the cluster $CLUSTER again" cluster_restart
    return
  fi
  step "create the cluster $CLUSTER" cluster_create
}

cluster_down() {
  if cluster_exists; then kind delete cluster --name "$CLUSTER" --kubeconfig "$KUBECONFIG"; fi
}
