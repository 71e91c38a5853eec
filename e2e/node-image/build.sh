# shellcheck shell=bash
# A kind node image from Debian packages and our own builds, for machines that can pull none.
# The result is a file system as a tar, ready for `docker import`.

. "$E2E_DIR/node-image/images.sh"

NODE_PACKAGES=systemd,dbus,conntrack,iptables,nftables,iproute2,ethtool,mount,kmod,libseccomp2,jq,procps,socat,curl,busybox-static,util-linux,netbase
METRICS_SERVER_IMAGE=registry.k8s.io/metrics-server/metrics-server:$(go_version metrics-server sigs.k8s.io/metrics-server)

node_image_key() {
  local module
  {
    hash_of "$E2E_DIR/node-image"
    for module in kubernetes "${NODE_TOOLS[@]}"; do tool_dir "$module"; done
  } | sha256sum | cut -c1-12
}

node_image_dir() { echo "$CACHE/node-image/$KUBERNETES_VERSION-$(node_image_key)"; }

# Puts binaries, configuration and units into $ROOTFS.
node_files() {
  local containerd pause
  containerd=$(tool_dir containerd)
  cp -a "$E2E_DIR/node-image/files/." "$ROOTFS/"
  install "$KUBERNETES"/{kubeadm,kubectl,kubelet} "$ROOTFS/usr/bin/"
  install "$containerd"/{containerd,containerd-shim-runc-v2,ctr} "$(tool_dir runc)/runc" "$ROOTFS/usr/local/bin/"
  install -D -t "$ROOTFS/opt/cni/bin" "$(tool_dir cni-plugins)"/*
  echo "$KUBERNETES_VERSION" >"$ROOTFS/kind/version"
  pause=$("$KUBERNETES/kubeadm" config images list --kubernetes-version "$KUBERNETES_VERSION" | grep /pause:)
  sed -i "s|PAUSE_IMAGE|$pause|" "$ROOTFS/etc/containerd/config.toml"
}

# Leaves of Debian's units only what a container needs.
node_units() {
  local units=$ROOTFS/etc/systemd/system
  rm -f "$ROOTFS"/etc/machine-id "$ROOTFS"/etc/resolv.conf
  find "$units" "$ROOTFS/lib/systemd/system" -path '*.wants/*' \
    ! -name 'systemd-journald*' ! -name 'systemd-tmpfiles-setup.service' -delete
  systemctl --root="$ROOTFS" set-default multi-user.target
  systemctl --root="$ROOTFS" mask getty.target systemd-logind.service systemd-remount-fs.service \
    systemd-resolved.service systemd-networkd.service systemd-udevd.service console-getty.service
  systemctl --root="$ROOTFS" enable containerd.service kubelet.service
}

# Imports the images with a containerd of this machine that has the node's store for its root.
node_preload() {
  local containerd socket=$WORK/containerd.sock pid archive
  containerd=$(tool_dir containerd)
  cat >"$WORK/containerd.toml" <<TOML
version = 3
root = "$ROOTFS/var/lib/containerd"
state = "$WORK/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"]
[grpc]
  address = "$socket"
TOML
  "$containerd/containerd" --config "$WORK/containerd.toml" &
  pid=$!
  wait_for 30 containerd "$containerd/ctr" --address "$socket" version
  for archive in "$IMAGES"/*.tar; do
    "$containerd/ctr" --address "$socket" --namespace k8s.io images import --local --discard-unpacked-layers "$archive"
  done
  # The archives' layers are unpacked now; collecting them halves the node image.
  "$containerd/ctr" --address "$socket" --namespace k8s.io content prune references
  kill "$pid"
  wait "$pid" || true
}

# build_node_image OUT: writes OUT/rootfs.tar.
build_node_image() {
  local out=$1
  WORK=$out/work ROOTFS=$out/work/rootfs IMAGES=$out/work/images KUBERNETES=$(tool_dir kubernetes)
  mkdir -p "$WORK" "$IMAGES"
  mmdebstrap --variant=minbase --include="$NODE_PACKAGES" bookworm "$ROOTFS"
  node_files
  node_units
  node_images
  node_preload
  tar -C "$ROOTFS" --numeric-owner --xattrs -cf "$out/rootfs.tar" .
  rm -rf "$WORK"
}
