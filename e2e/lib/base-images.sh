# shellcheck shell=bash
# The images that ours and the embedded databases are built on: pulled where that is possible, else
# made from Debian packages under their usual names. They are kept as tars in the cache.

DEBIAN_IMAGE=debian:bookworm-slim
POSTGRES_IMAGE=postgres:15-bookworm
REDIS_IMAGE=redis:7-bookworm
FFMPEG_IMAGE=streaming-operator/ffmpeg:$(hash_of "$E2E_DIR/base-images/ffmpeg" "$E2E_DIR/base-images/debian")

# base_image_dir NAME FOLDER...: the cache entry of an image, keyed by the folders it is made from.
base_image_dir() {
  local name=$1
  shift
  echo "$CACHE/images/$(tr '/:' '--' <<<"$name")-$({ hash_of "$@" && declare -f build_debian_image; } | sha256sum | cut -c1-12)"
}

build_debian_image() {
  # The hooks clear what mmdebstrap itself installed; the files hold for what is installed later.
  # shellcheck disable=SC2016 # $1 is the hook's own argument
  mmdebstrap --variant=minbase --include=ca-certificates \
    --customize-hook='for d in info lintian locale man; do rm -rf "$1/usr/share/$d"; done' \
    --customize-hook='find "$1/usr/share/doc" -type f ! -name copyright -delete' \
    --customize-hook='rm -f "$1"/var/cache/apt/*.bin' \
    --customize-hook="sync-in $E2E_DIR/base-images/debian/files /" \
    bookworm "$1/rootfs.tar"
  docker import --change 'CMD ["bash"]' "$1/rootfs.tar" "$DEBIAN_IMAGE"
  save_image "$DEBIAN_IMAGE" "$1"
  rm "$1/rootfs.tar"
}

# build_from_recipe IMAGE FOLDER OUT: docker build of a folder of e2e/base-images.
build_from_recipe() {
  docker build --tag "$1" "$E2E_DIR/base-images/$2"
  save_image "$1" "$3"
}

save_image() {
  docker save --output "$2/image.tar" "$1"
  docker image inspect --format '{{.Id}}' "$1" >"$2/id"
}

# load_image IMAGE DIR: gives the engine the cached image unless it has it.
load_image() {
  [[ $(docker image inspect --format '{{.Id}}' "$1" 2>/dev/null) == "$(cat "$2/id")" ]] ||
    docker load --quiet --input "$2/image.tar"
}

# base_images_up: sees to it that the engine has every base image.
base_images_up() {
  local recipes=$E2E_DIR/base-images dir entry image folder
  dir=$(base_image_dir "$DEBIAN_IMAGE" "$recipes/debian")
  local images=("$FFMPEG_IMAGE ffmpeg")
  if ((ENGINE_OWN)); then
    build_once "$dir" build_debian_image
    load_image "$DEBIAN_IMAGE" "$dir"
    images+=("$POSTGRES_IMAGE postgres" "$REDIS_IMAGE redis")
  else
    docker pull -q "$POSTGRES_IMAGE"
    docker pull -q "$REDIS_IMAGE"
  fi
  for entry in "${images[@]}"; do
    read -r image folder <<<"$entry"
    dir=$(base_image_dir "$image" "$recipes/$folder" "$recipes/debian")
    build_once "$dir" build_from_recipe "$image" "$folder"
    load_image "$image" "$dir"
  done
}
