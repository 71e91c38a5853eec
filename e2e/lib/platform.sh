# shellcheck shell=bash
# The operator, installed by its chart, and the platform of the environment.

OPERATOR_NAMESPACE=streaming-operator
PLATFORM=demo

# operator_install: installs the chart, or upgrades it when it is there, with the images just built.
operator_install() {
  local name set=(--set "image.tag=$(image_tag operator)" --set "aws.allowedEndpoints={$AWS_ENDPOINT,$AWS_FAULTY_ENDPOINT}")
  for name in frontend backend worker transcoder; do set+=(--set "images.$name=$(image_ref "$name")"); done
  helm upgrade --install streaming-operator "$REPO_DIR/charts/streaming-operator" \
    --namespace "$OPERATOR_NAMESPACE" --create-namespace --values "$E2E_DIR/demo-values.yaml" \
    "${set[@]}" --wait --timeout 3m
}

image_tag() { image_ref "$1" | cut -d: -f2; }

# platform_apply: the example's manifest, with the endpoint that the emulator has on this machine.
platform_apply() {
  sed "s|http://172.31.240.1:4566|$AWS_ENDPOINT|" "$REPO_DIR/examples/demo.yaml" | kubectl apply -f -
}

# The namespace that the example names.
platform_namespace() {
  kubectl get streamingplatforms --all-namespaces --output json |
    jq -er --arg name "$PLATFORM" '[.items[] | select(.metadata.name == $name) | .metadata.namespace][0]'
}

# platform_ready: waits until the platform says of this generation that it serves.
platform_ready() {
  local namespace
  namespace=$(platform_namespace)
  kubectl --namespace "$namespace" wait --for=condition=Ready --timeout=300s "streamingplatform/$PLATFORM" || {
    kubectl --namespace "$namespace" get streamingplatform "$PLATFORM" --output json | jq .status
    kubectl --namespace "$namespace" get pods
    return 1
  }
}

# platform_delete: the example's platform, then its namespace, which has the keys that the deletion needs.
platform_delete() {
  local namespace
  namespace=$(platform_namespace) || return 0
  kubectl --namespace "$namespace" delete streamingplatform "$PLATFORM" --timeout 180s
  kubectl delete namespace "$namespace" --timeout 120s
}

# platform_info: what scripts need to go on from a running platform, as one JSON object.
platform_info() {
  kubectl --namespace "$(platform_namespace)" get streamingplatform "$PLATFORM" --output json | jq \
    --arg kubeconfig "$KUBECONFIG" --arg frontend "$FRONTEND_URL" --arg endpoint "$AWS_ENDPOINT" '{
      kubeconfig: $kubeconfig, namespace: .metadata.namespace, platform: .metadata.name,
      frontendURL: $frontend, apiURL: "\($frontend)/api",
      awsEndpoint: $endpoint, region: .spec.aws.region,
      queueURL: .status.transcoding.queueURL, deadLetterQueueURL: .status.transcoding.deadLetterQueueURL,
      inputBucket: .status.transcoding.inputBucket, outputBucket: .status.transcoding.outputBucket}'
}

# The token that the API asks for, which the operator made.
platform_token() {
  kubectl --namespace "$(platform_namespace)" get secret "$PLATFORM-api-token" --output jsonpath='{.data.token}' | base64 -d
}
