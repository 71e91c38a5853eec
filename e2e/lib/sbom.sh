# shellcheck shell=bash
# What is in an image, and what it was made of: a CycloneDX SBOM by syft, and a SLSA provenance statement.

SBOM_TOOLS=(syft)

# sbom_image NAME IMAGE DIR: writes DIR/NAME.cdx.json. Debian's packages are found by dpkg's database, crates by what
# cargo-auditable left in the binary. The web application is one bundle: its packages are those of its lock file.
sbom_image() {
  local name=$1 image=$2 dir=$3 archive syft
  syft=$(tool_dir syft)/syft
  archive=$(mktemp "$STATE/sbom.XXXXXX.tar")
  docker save --output "$archive" "$image"
  "$syft" scan "docker-archive:$archive" --quiet --select-catalogers -file --source-name "$name" --source-version "$(image_digest "$image")" \
    --output "cyclonedx-json=$dir/$name.cdx.json"
  rm -f "$archive"
  [[ $name == frontend ]] || return 0
  "$syft" scan "file:$WEB/package-lock.json" --select-catalogers -file --quiet --output "cyclonedx-json=$dir/web.json"
  jq -s '.[0].components += (.[1].components | map(select(.purl // "" | startswith("pkg:npm/")))) | .[0]' \
    "$dir/$name.cdx.json" "$dir/web.json" >"$dir/merged.json"
  mv "$dir/merged.json" "$dir/$name.cdx.json"
  rm "$dir/web.json"
}

# image_digest IMAGE: the digest of its manifest, if it came from a registry or went to one; else that of its
# configuration, which is its id.
image_digest() {
  docker image inspect "$1" --format '{{if .RepoDigests}}{{index .RepoDigests 0}}{{else}}{{.Id}}{{end}}' | sed 's/.*@//'
}

# material URI FILE: a file that was built from.
material() { jq -n --arg uri "$1" --arg sum "$(sha256sum "$2" | cut -d' ' -f1)" '{uri: $uri, digest: {sha256: $sum}}'; }

# provenance_image NAME IMAGE DIR SOURCE: writes DIR/NAME.provenance.json, an in-toto statement of type SLSA provenance
# v1. SOURCE is what image_source said when it was built.
provenance_image() {
  local name=$1 image=$2 dir=$3 source=$4 base digest commit remote node=""
  base=$(image_base "$name")
  digest=$(image_digest "$image")
  commit=$(jq -r .commit <<<"$source")
  remote=$(git -C "$REPO_DIR" config remote.origin.url || echo streaming-operator)
  if [[ $name == frontend ]]; then node=$(node --version); fi
  {
    jq -n --arg uri "git+${remote#git+}@$commit" --arg commit "$commit" '{uri: $uri, digest: {gitCommit: $commit}}'
    jq -n --arg uri "pkg:docker/$base" --arg sum "$(image_digest "$base")" '{uri: $uri, digest: {sha256: ($sum | ltrimstr("sha256:"))}}'
    material Cargo.lock "$REPO_DIR/Cargo.lock"
    if [[ $name == frontend ]]; then material services/frontend/web/package-lock.json "$WEB/package-lock.json"; fi
  } | jq -s --arg name "$name" --arg image "${image%:*}" --arg digest "${digest#sha256:}" --arg base "$base" \
    --arg dockerfile "$(image_dockerfile "$name" | sed "s|^$REPO_DIR/||")" --arg rustc "$(rustc --version)" \
    --arg node "$node" --argjson source "$source" \
    --arg made "$(docker image inspect "$image" --format '{{.Created}}')" '{
      _type: "https://in-toto.io/Statement/v1",
      subject: [{name: $image, digest: {sha256: $digest}}],
      predicateType: "https://slsa.dev/provenance/v1",
      predicate: {
        buildDefinition: {
          buildType: "https://streamingplatform.dev/build/image/v1",
          externalParameters: {image: $name, dockerfile: $dockerfile, buildArgs: {BASE: $base}},
          internalParameters: ({rustc: $rustc, uncommittedChanges: $source.uncommittedChanges} + if $node == "" then {} else {node: $node} end),
          resolvedDependencies: .
        },
        runDetails: {
          builder: {id: "https://streamingplatform.dev/build/make@v1"},
          metadata: {finishedOn: $made}
        }
      }
    }' >"$dir/$name.provenance.json"
}

# sbom_true NAME IMAGE DIR: whether the SBOM names the crates of the binary by the versions of Cargo.lock, Debian's
# packages, and for the frontend those of npm; and whether the provenance is of this image.
sbom_true() {
  local name=$1 image=$2 dir=$3
  python3 "$E2E_DIR/lib/sbom_true.py" "$dir/$name.cdx.json" "$dir/$name.provenance.json" \
    "$(image_binary "$name")" "$(image_digest "$image")" "$REPO_DIR"
}
