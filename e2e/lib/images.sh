# shellcheck shell=bash
# The project's own images. The Rust workspace is compiled once, on the host; the Dockerfiles only copy
# stripped binaries. A tag is the hash of what is in the image, so only what changed is rolled out.

IMAGE_NAMES=(operator frontend backend worker transcoder)

# The package, its folder and its binary have the image's name, but for the operator, which is the root.
image_binary() { [[ $1 == operator ]] && echo streaming-operator || echo "$1"; }
image_dockerfile() { [[ $1 == operator ]] && echo "$REPO_DIR/Dockerfile" || echo "$REPO_DIR/services/$1/Dockerfile"; }

target_dir() { echo "${CARGO_TARGET_DIR:-$REPO_DIR/target}"; }

# cargo-auditable leaves in each binary which crates are in it, for an SBOM to find. With --workspace, here and for the tests, dependencies have the same features however little is built: with
# --package, Cargo would compile them once for each choice of packages.
compile_binaries() {
  local name args=()
  for name in "${IMAGE_NAMES[@]}"; do args+=(--bin "$(image_binary "$name")"); done
  cd "$REPO_DIR"
  cargo auditable build --locked --workspace "${args[@]}"
}

# The web application's build is a cache entry by the hash of its sources.
web_dir() {
  local web=$REPO_DIR/services/frontend/web
  echo "$CACHE/web/$(cd "$web" && find . -path ./node_modules -prune -o -path ./dist -prune -o -type f ! -name '*.tsbuildinfo' -print0 |
    sort -z | xargs -0 sha256sum | sha256sum | cut -c1-12)"
}

# npm_install DIR: the locked packages, unless they are there already; one run at a time.
npm_install() {
  (
    exec 9<"$1"
    flock 9
    [[ $1/node_modules/.package-lock.json -nt $1/package-lock.json ]] || npm --prefix "$1" ci --no-audit --no-fund
  )
}

build_web() {
  local web=$REPO_DIR/services/frontend/web
  npm_install "$web"
  npm --prefix "$web" run build -- --outDir "$1" --emptyOutDir
}

# stage_image NAME DIR: fills the folder that is the image's build context.
stage_image() {
  local name=$1 context=$2 binary
  binary=$(image_binary "$name")
  rm -rf "$context"
  mkdir -p "$context/bin"
  strip -o "$context/bin/$binary" "$(target_dir)/debug/$binary"
  cp "$(image_dockerfile "$name")" "$context/Dockerfile"
  if [[ $name == frontend ]]; then cp -r "$(web_dir)" "$context/web"; fi
}

image_base() { [[ $1 == transcoder ]] && echo "$FFMPEG_IMAGE" || echo "$DEBIAN_IMAGE"; }

# image_source: the commit that the working tree is at, and whether there is more in it.
image_source() {
  local commit changed=false
  commit=$(git -C "$REPO_DIR" rev-parse HEAD)
  [[ -z $(git -C "$REPO_DIR" status --porcelain) ]] || changed=true
  jq -n --arg commit "$commit" --argjson changed "$changed" '{commit: $commit, uncommittedChanges: $changed}'
}

# image_ref NAME: the image, with its tag, that the environment's last build made.
image_ref() { cat "$STATE/$CLUSTER/images/$1.ref"; }

# build_image NAME: builds the image if its content is new, and forgets the one before it.
build_image() {
  local name=$1 dir=$STATE/$CLUSTER/images base key ref old
  base=$(image_base "$name")
  stage_image "$name" "$dir/$name"
  key=$({ hash_of "$dir/$name" && docker image inspect --format '{{.Id}}' "$base"; } | sha256sum | cut -c1-12)
  ref=streaming-operator/$name:dev-$key
  docker image inspect "$ref" >/dev/null 2>&1 || docker build --build-arg "BASE=$base" --tag "$ref" "$dir/$name"
  old=$(cat "$dir/$name.ref" 2>/dev/null || echo "$ref")
  echo "$ref" >"$dir/$name.ref"
  image_source >"$dir/$name.source"
  [[ $old == "$ref" ]] || docker rmi "$old" || true
}

# images_up: compiles, builds the web application, and builds every image.
images_up() {
  local name
  ensure_cargo_tools "$AUDITABLE_TOOL"
  step "compile the Rust workspace" compile_binaries
  [[ -e $(web_dir) ]] || step "build the web application" build_once "$(web_dir)" build_web
  step "build the images" build_images
}

build_images() {
  local name
  for name in "${IMAGE_NAMES[@]}"; do build_image "$name"; done
}

# load_images: gives the cluster's node the images that it has not got yet. The node keeps a list of
# what it was given, name and id, since a base image's name outlives its content.
load_images() {
  local node=$CLUSTER-control-plane name ref entry loaded refs=("$POSTGRES_IMAGE" "$REDIS_IMAGE") missing=() entries=()
  for name in "${IMAGE_NAMES[@]}"; do refs+=("$(image_ref "$name")"); done
  loaded=$(docker exec "$node" sh -c 'cat /kind/loaded-images 2>/dev/null || true')
  for ref in "${refs[@]}"; do
    entry="$ref $(docker image inspect --format '{{.Id}}' "$ref")"
    grep -qxF "$entry" <<<"$loaded" || { missing+=("$ref") && entries+=("$entry"); }
  done
  ((${#missing[@]})) || return 0
  kind load docker-image --name "$CLUSTER" "${missing[@]}"
  printf '%s\n' "${entries[@]}" | docker exec --interactive "$node" tee -a /kind/loaded-images
}
