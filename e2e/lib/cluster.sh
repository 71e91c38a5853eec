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

# Puts our own node image into the engine; older ones go, unless a cluster runs on them.
node_image_load() {
  local name
  name=$(node_image_name)
  docker image inspect "$name" >/dev/null 2>&1 && return
  docker import --change 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/lib/systemd/systemd"]' \
    --change 'ENV container=docker' "$(node_image_dir)/rootfs.tar" "$name"
  docker images --format '{{.Repository}}:{{.Tag}}' streaming-operator/node | grep -vx "$name" | xargs --no-run-if-empty docker rmi || true
}

# Pods ask the name servers of this machine; those on a loopback address can't be reached from a pod.
cluster_resolv_conf() {
  awk '$1 == "nameserver" && $2 !~ /^127\.|^::1/' /etc/resolv.conf | grep . || echo "nameserver $ENGINE_BRIDGE"
}

cluster_config() {
  local dir=$STATE/$CLUSTER
  cluster_resolv_conf >"$dir/resolv.conf"
  mkdir -p "$dir/audit"
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
      - {hostPath: $E2E_DIR/cluster/audit-policy.yaml, containerPath: /kind/audit-policy.yaml, readOnly: true}
      - {hostPath: $dir/audit, containerPath: /kind/audit}
kubeadmConfigPatches:
  - |
    kind: ClusterConfiguration
    apiServer:
      extraArgs:
        - {name: audit-policy-file, value: /kind/audit-policy.yaml}
        - {name: audit-log-path, value: /kind/audit/audit.log}
        - {name: audit-log-maxsize, value: "100"}
        - {name: audit-log-maxbackup, value: "2"}
      extraVolumes:
        - {name: audit-policy, hostPath: /kind/audit-policy.yaml, mountPath: /kind/audit-policy.yaml, readOnly: true, pathType: File}
        - {name: audit, hostPath: /kind/audit, mountPath: /kind/audit, pathType: Directory}
  - |
    kind: KubeletConfiguration
    failCgroupV1: false
    resolvConf: /kind/resolv.conf
YAML
}

cluster_exists() { kind get clusters 2>/dev/null | grep -qx "$CLUSTER"; }

cluster_answers() { kubectl get --raw /readyz --request-timeout 5s; }

# A busy API server gets half a minute to answer before its cluster counts as broken.
cluster_healthy() {
  cluster_exists && (wait_for 30 "the API server" cluster_answers)
}

cluster_create() {
  cluster_exists && kind delete cluster --name "$CLUSTER"
  cluster_config >"$STATE/$CLUSTER/kind.yaml"
  kind create cluster --name "$CLUSTER" --config "$STATE/$CLUSTER/kind.yaml" \
    --image "$(node_image_name)" --kubeconfig "$KUBECONFIG" --wait 180s 8>&-
  kubectl apply -f "$E2E_DIR/cluster/metrics-server.yaml"
}

# cluster_up: the environment's cluster, reused when it answers. After a restart of the engine it does not,
# since its node may have another address; then it is made anew, which takes no longer than mending it.
cluster_up() {
  cluster_healthy 2>/dev/null || step "create the cluster $CLUSTER" cluster_create
}

cluster_down() {
  if cluster_exists; then kind delete cluster --name "$CLUSTER" --kubeconfig "$KUBECONFIG"; fi
}
