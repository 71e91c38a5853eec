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
  AWS_REGION=ap-south-1
  AWS_ENDPOINT=http://$ENGINE_BRIDGE:$AWS_PORT
  # The emulator takes any key.
  AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_ENDPOINT_URL=$AWS_ENDPOINT
  FRONTEND_URL=http://127.0.0.1:$FRONTEND_PORT
  mkdir -p "$STATE/$CLUSTER"
  export ENVIRONMENT CLUSTER KUBECONFIG AWS_REGION AWS_ENDPOINT FRONTEND_PORT FRONTEND_URL
  export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_ENDPOINT_URL
}

# Waits for another run that works on the same environment. The lock goes with this process.
environment_lock() {
  exec 8>"$STATE/$CLUSTER/lock"
  flock -n 8 || { say "another run works on the environment $ENVIRONMENT; waiting for it"; flock 8; }
}
