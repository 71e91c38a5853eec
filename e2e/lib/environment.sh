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
  # Where tests put faults on the way to the emulator.
  AWS_FAULTY_ENDPOINT=http://$ENGINE_BRIDGE:$((AWS_PORT + 10))
  # Where the tests' canary receives traces.
  TRACES_ADDRESS=$ENGINE_BRIDGE:$((AWS_PORT + 20))
  # The emulator takes any key; a presigned URL must be signed with the one that is in its environment. As in
  # examples/demo.yaml and e2e/src/kind/aws.rs.
  AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=key-of-the-emulator-and-of-nothing-else AWS_ENDPOINT_URL=$AWS_ENDPOINT
  FRONTEND_URL=http://127.0.0.1:$FRONTEND_PORT
  mkdir -p "$STATE/$CLUSTER"
  export ENVIRONMENT CLUSTER KUBECONFIG AUDIT_LOG AWS_REGION AWS_ENDPOINT AWS_FAULTY_ENDPOINT FRONTEND_PORT FRONTEND_URL
  export TRACES_ADDRESS
  export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_ENDPOINT_URL
}

# environment_lock NAME: waits for another run that works on the same environment, and keeps the engine up
# meanwhile. The locks go with this process.
environment_lock() {
  environment "$1"
  engine_lock
  exec 8>"$STATE/$CLUSTER/lock"
  flock -n 8 || { say "another run works on the environment $1; waiting for it"; flock 8; }
}

# prepare_machine: packages, engine, tools, node image and base images; each only if it is missing.
prepare_machine() {
  machine_ready
  engine_up
  ensure_tools "${CLIENT_TOOLS[@]}"
  use_tools
  if ((ENGINE_OWN)); then
    ensure_tools "${NODE_TOOLS[@]}"
    [[ -e $(node_image_dir) ]] || step "build the node image" build_once "$(node_image_dir)" build_node_image
    step "load the node image into the engine" node_image_load
  fi
  step "base images" base_images_up
}

# environment_up: machine, emulator, images, cluster, operator. Each step finds out by itself what is there.
environment_up() {
  prepare_machine
  environment "$ENVIRONMENT" # again, with the engine's address
  step "AWS emulator" emulator_up
  images_up
  cluster_up
  step "load the images into the cluster" load_images
  step "install the operator" operator_install
}

# environment_down: takes the environment away with its data, and our engine when nothing else uses it. A
# cluster outlives an engine that was killed, and only an engine can delete it.
environment_down() {
  [[ ! -e $STATE/$CLUSTER/kind.yaml ]] || engine_up
  cluster_down
  emulator_down
  find "$STATE/$CLUSTER" -mindepth 1 -maxdepth 1 ! -name lock -exec rm -rf {} +
  if ((ENGINE_OWN)); then engine_down; fi
}
