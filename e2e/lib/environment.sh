# shellcheck shell=bash
# The two environments, which may be up beside each other: `demo` for people, `test` for `make test`.
# Each has its own cluster, ports, emulator, kubeconfig and lock.

# environment NAME: sets the variables of the environment.
environment() {
  ENVIRONMENT=$1
  case $1 in
    demo) FRONTEND_PORT=18080 AWS_PORT=4566 ;;
    test) FRONTEND_PORT=28080 AWS_PORT=4567 ;;
    *) die "no environment named $1: demo or test" ;;
  esac
  CLUSTER=streaming-$1
  EMULATOR=$STATE/$CLUSTER/emulator
  KUBECONFIG=$STATE/$CLUSTER/kubeconfig
  AUDIT_LOG=$STATE/$CLUSTER/audit/audit.log
  AWS_REGION=ap-south-1
  AWS_ENDPOINT=http://$ENGINE_BRIDGE:$AWS_PORT
  # The emulator takes any key.
  AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_ENDPOINT_URL=$AWS_ENDPOINT
  FRONTEND_URL=http://127.0.0.1:$FRONTEND_PORT
  mkdir -p "$STATE/$CLUSTER"
  export ENVIRONMENT CLUSTER KUBECONFIG AUDIT_LOG AWS_REGION AWS_ENDPOINT FRONTEND_PORT FRONTEND_URL
  export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_ENDPOINT_URL
}

# Waits for another run that works on the same environment. The lock goes with this process.
environment_lock() {
  exec 8>"$STATE/$CLUSTER/lock"
  flock -n 8 || { say "another run works on the environment $ENVIRONMENT; waiting for it"; flock 8; }
}

# prepare_machine: packages, tools, engine, node image and base images; each only if it is missing.
prepare_machine() {
  [[ -z $(machine_missing) ]] || step "install Debian packages" machine_packages
  ensure_tools "${CLIENT_TOOLS[@]}"
  use_tools
  engine_up
  if ((ENGINE_OWN)); then
    ensure_tools "${NODE_TOOLS[@]}"
    [[ -e $(node_image_dir) ]] || step "build the node image" build_once "$(node_image_dir)" build_node_image
    step "load the node image into the engine" node_image_load
  fi
  step "base images" base_images_up
}

# environment_up: emulator, images, cluster, operator. Each step finds out by itself what is there.
environment_up() {
  step "AWS emulator" emulator_up
  images_up
  cluster_up
  step "load the images into the cluster" load_images
  step "install the operator" operator_install
}

# environment_down: takes the environment away with its data, and our engine when nothing else uses it.
environment_down() {
  cluster_down
  emulator_down
  find "$STATE/$CLUSTER" -mindepth 1 -maxdepth 1 ! -name lock -exec rm -rf {} +
  if ((ENGINE_OWN)) && [[ -z $(docker ps --quiet) ]]; then engine_down; fi
}
