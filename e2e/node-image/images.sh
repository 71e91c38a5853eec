# shellcheck shell=bash
# The images that a node has to hold before its first start, each one static binary in a scratch image,
# under the names that kubeadm and our manifests ask for. Sourced by build.sh.

# scratch_image NAME ROOT ENTRYPOINT OUT: writes the folder ROOT as a Docker archive of one layer.
scratch_image() {
  local name=$1 root=$2 entrypoint=$3 out=$4 dir config
  dir=$(mktemp -d -p "$WORK")
  tar -C "$root" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf "$dir/layer.tar" .
  jq -n --arg entrypoint "$entrypoint" --arg diff "sha256:$(sha256sum <"$dir/layer.tar" | cut -d' ' -f1)" '{
    architecture: "amd64", os: "linux", created: "1970-01-01T00:00:00Z",
    config: {Env: ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], Entrypoint: [$entrypoint], WorkingDir: "/"},
    rootfs: {type: "layers", diff_ids: [$diff]}}' >"$dir/config.json"
  config=$(sha256sum <"$dir/config.json" | cut -d' ' -f1).json
  mv "$dir/config.json" "$dir/$config"
  jq -n --arg name "$name" --arg config "$config" \
    '[{Config: $config, RepoTags: [$name], Layers: ["layer.tar"]}]' >"$dir/manifest.json"
  tar -C "$dir" -cf "$out" manifest.json "$config" layer.tar
  rm -rf "$dir"
}

# binary_image NAME BINARY [PATH]: an image that holds one binary, by default in /usr/local/bin.
binary_image() {
  local name=$1 binary=$2 path=${3:-/usr/local/bin/$(basename "$2")} root
  root=$(mktemp -d -p "$WORK")
  install -D "$binary" "$root$path"
  mkdir -m 1777 "$root/tmp"
  scratch_image "$name" "$root" "$path" "$IMAGES/$(basename "$path").tar"
  rm -rf "$root"
}

# The pause program's source comes with Kubernetes' own module.
pause_image() {
  local source
  source=$(cd "$E2E_DIR/tools/kubernetes" && go mod download -json k8s.io/kubernetes | jq -r .Dir)
  gcc -Os -static -DVERSION=local -o "$WORK/pause" "$source/build/pause/linux/pause.c"
  binary_image "$1" "$WORK/pause" /pause
}

# kube-proxy drives nftables through the nft program, which is not static: take it with its libraries. nft
# writes `tcp` only where /etc/protocols tells it to; from `6` kube-proxy does not know its own rules again,
# and its hourly full sync would delete them all.
kube_proxy_image() {
  local name=$1 root file
  root=$(mktemp -d -p "$WORK")
  install -D "$KUBERNETES/kube-proxy" "$root/usr/local/bin/kube-proxy"
  { printf '%s\n' /usr/sbin/nft /etc/protocols; chroot "$ROOTFS" ldd /usr/sbin/nft | grep -o '/[^ ]*'; } | while read -r file; do
    install -D "$ROOTFS$file" "$root$file"
  done
  scratch_image "$name" "$root" /usr/local/bin/kube-proxy "$IMAGES/kube-proxy.tar"
  rm -rf "$root"
}

# The volume helper of local-path-provisioner needs a shell, mkdir and rm: busybox.
helper_image() {
  local root tool
  root=$(mktemp -d -p "$WORK")
  mkdir -p "$root/bin"
  cp "$ROOTFS/bin/busybox" "$root/bin/busybox"
  for tool in sh mkdir rm; do ln -s busybox "$root/bin/$tool"; done
  scratch_image localhost/local-path-helper:local "$root" /bin/sh "$IMAGES/local-path-helper.tar"
  rm -rf "$root"
}

# Writes every image into $IMAGES.
node_images() {
  local name
  while read -r name; do
    case $name in
      */pause:*) pause_image "$name" ;;
      */etcd:*) binary_image "$name" "$(tool_dir etcd)/etcd" ;;
      */coredns:*) binary_image "$name" "$(tool_dir coredns)/coredns" /coredns ;;
      */kube-proxy:*) kube_proxy_image "$name" ;;
      */kube-*) binary_image "$name" "$KUBERNETES/$(basename "${name%:*}")" ;;
      *) die "no recipe for the image $name" ;;
    esac
  done < <("$KUBERNETES/kubeadm" config images list --kubernetes-version "$KUBERNETES_VERSION")
  binary_image "$METRICS_SERVER_IMAGE" "$(tool_dir metrics-server)/metrics-server"
  binary_image localhost/local-path-provisioner:local "$(tool_dir local-path-provisioner)/local-path-provisioner"
  helper_image
}
