# shellcheck shell=bash
# Go tools of pinned versions: each folder of e2e/tools is a Go module whose `tool` lines say what to
# build, or which has a main.go of its own. The binaries of a module are one cache entry, keyed by its
# files, Go's version and this recipe.

# The version that a module pins for a Go module path.
go_version() {
  awk -v path="$2" '{ for (i = 1; i < NF; i++) if ($i == path && $(i + 1) ~ /^v/) { print $(i + 1); exit } }' \
    "$E2E_DIR/tools/$1/go.mod"
}

# module_dir MODULE PATH: the source of a Go module that the module pins, in Go's own cache.
module_dir() {
  cd "$E2E_DIR/tools/$1"
  go mod download "$2"
  go list -mod=readonly -m -f '{{.Dir}}' "$2"
}

KUBERNETES_VERSION=$(go_version kubernetes k8s.io/kubernetes)
export KUBERNETES_VERSION

# tool_dir MODULE: where the module's binaries are or will be.
tool_dir() {
  local dir=$E2E_DIR/tools/$1 key
  key=$( (
    cd "$dir"
    cat ./*
    declare -f build_tools
    go env GOVERSION GOOS GOARCH
  ) | sha256sum | cut -c1-12)
  echo "$CACHE/tools/$1-$key"
}

build_tools() {
  local module=$1 out=$2 ldflags="-s -w" cgo=0 tags="" packages=tool
  case $module in
    kubernetes) ldflags+=" -X k8s.io/component-base/version.gitVersion=$KUBERNETES_VERSION" ;;
    containerd) ldflags+=" -X github.com/containerd/containerd/v2/version.Version=$(go_version containerd github.com/containerd/containerd/v2)" ;;
    helm) ldflags+=" -X helm.sh/helm/v4/internal/version.version=$(go_version helm helm.sh/helm/v4)" ;;
    runc) cgo=1 tags=seccomp ;;
  esac
  cd "$E2E_DIR/tools/$module"
  [[ ! -e main.go ]] || packages=.
  CGO_ENABLED=$cgo GOFLAGS=-mod=readonly go build -v -buildvcs=false -trimpath -tags "$tags" \
    -ldflags "$ldflags" -o "$out/" "$packages"
  # A main package at the root of its module is named after the module's last element.
  if [[ -e $out/server ]]; then mv "$out/server" "$out/etcd"; fi
}

# ensure_tools MODULE...: builds what is not in the cache yet, one after another.
ensure_tools() {
  local module dir
  for module in "$@"; do
    dir=$(tool_dir "$module")
    [[ -e $dir ]] || step "build $module" build_once "$dir" build_tools "$module"
  done
}

# What every machine needs, and what it needs besides to build a node image.
CLIENT_TOOLS=(kubernetes kind helm)
NODE_TOOLS=(etcd containerd runc cni-plugins coredns metrics-server local-path-provisioner)
CHECK_TOOLS=(etcd kubeconform helm-docs)
# What benchmarks on played nodes need besides.
BENCH_TOOLS=(kubernetes etcd kwok)
# What `make faults` plays nodes with.
FAULT_TOOLS=(kwok)

# use_tools: puts the clients on the PATH and names the binaries that tests start by themselves.
use_tools() {
  local module
  for module in "${CLIENT_TOOLS[@]}" kubeconform helm-docs; do PATH=$(tool_dir "$module"):$PATH; done
  KUBECTL=$(tool_dir kubernetes)/kubectl
  KUBE_APISERVER=$(tool_dir kubernetes)/kube-apiserver
  KUBE_CONTROLLER_MANAGER=$(tool_dir kubernetes)/kube-controller-manager
  KUBE_SCHEDULER=$(tool_dir kubernetes)/kube-scheduler
  KWOK=$(tool_dir kwok)/kwok
  ETCD=$(tool_dir etcd)/etcd
  HELM=$(tool_dir helm)/helm
  KIND=$(tool_dir kind)/kind
  KWOK=$(tool_dir kwok)/kwok
  MINISTACK=$(ministack_dir)/bin/ministack
  export PATH KUBECTL KUBE_APISERVER KUBE_CONTROLLER_MANAGER KUBE_SCHEDULER ETCD KWOK HELM KIND MINISTACK
}
