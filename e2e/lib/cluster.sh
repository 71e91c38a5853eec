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

# The audit policy is copied: the cluster outlives the checkout that made it.
cluster_config() {
  local dir=$STATE/$CLUSTER
  cp "$E2E_DIR/cluster/audit-policy.yaml" "$dir/audit-policy.yaml"
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
      - {hostPath: $dir/audit-policy.yaml, containerPath: /kind/audit-policy.yaml, readOnly: true}
      - {hostPath: $dir/audit, containerPath: /kind/audit}
kubeadmConfigPatches:
  # The controllers' own limit of 20 requests a second is less than a flow of Jobs takes.
  - |
    kind: ClusterConfiguration
    controllerManager:
      extraArgs:
        - {name: kube-api-qps, value: "100"}
        - {name: kube-api-burst, value: "200"}
    scheduler:
      extraArgs:
        - {name: kube-api-qps, value: "100"}
        - {name: kube-api-burst, value: "200"}
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
    cgroupDriver: cgroupfs
    resolvConf: /kind/resolv.conf
# By systemd runc freezes a container while it sets it up, which fails now and then where cgroups are of version 1 and
# processors are busy: "unable to freeze", and the pod has a StartError.
containerdConfigPatches:
  - |
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      SystemdCgroup = false
YAML
}

# Not grep -q, which would end before kind has told all, and make the pipe fail.
cluster_exists() { kind get clusters 2>/dev/null | grep -x "$CLUSTER" >/dev/null; }

cluster_answers() { kubectl get --raw /readyz --request-timeout 5s; }

# cluster_lost: there is none, it never was whole, or its node does not run under the address that it was made
# for, as may be after a restart of the engine. To make it anew takes no longer than to mend it.
cluster_lost() {
  local node=$CLUSTER-control-plane address
  [[ -s $KUBECONFIG ]] || return 0
  address=$(docker inspect --format '{{if .State.Running}}{{.NetworkSettings.Networks.kind.IPAddress}}{{end}}' "$node" 2>/dev/null) || return 0
  [[ -n $address ]] || return 0
  ! docker exec "$node" grep -q -- "--advertise-address=$address\$" /etc/kubernetes/manifests/kube-apiserver.yaml
}

# The kubeconfig is there once the cluster is whole.
cluster_create() {
  local new=$KUBECONFIG.new
  cluster_down
  rm -f "$KUBECONFIG" "$new"
  cluster_config >"$STATE/$CLUSTER/kind.yaml"
  kind create cluster --name "$CLUSTER" --config "$STATE/$CLUSTER/kind.yaml" \
    --image "$(node_image_name)" --kubeconfig "$new" --wait 180s
  kubectl --kubeconfig "$new" apply -f "$E2E_DIR/cluster/metrics-server.yaml"
  mv "$new" "$KUBECONFIG"
}

# cluster_up: the environment's cluster. One whose node runs may hold somebody's data, and is not given up
# because it is slow to answer.
cluster_up() {
  if cluster_lost; then
    step "create the cluster $CLUSTER" cluster_create
  elif ! cluster_answers >/dev/null 2>&1; then
    step "wait for the cluster $CLUSTER" wait_for 300 \
      "the API server of $CLUSTER, though its node runs; to have it anew, take it away: e2e/demo-down.sh $ENVIRONMENT" cluster_answers
  fi
}

cluster_down() {
  if cluster_exists; then kind delete cluster --name "$CLUSTER" --kubeconfig "$KUBECONFIG"; fi
}
