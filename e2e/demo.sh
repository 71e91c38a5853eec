#!/usr/bin/env bash
# `make demo`: from a bare machine to a video that plays. Run again, it reuses what is there.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/load.sh"
. "$E2E_DIR/lib/video.sh"

environment_lock demo
environment_up
step "apply examples/demo.yaml" platform_apply
step "wait until the platform is ready" platform_ready
step "fetch a clip" build_once "$(clip_dir)" fetch_clip
# Pods that are ready are reached once each node's proxy knows of them, a moment later.
step "wait until the API answers" wait_for 30 "the API" api GET /videos
step "upload the clip through the API" video_upload "$(clip_dir)/bigbuckbunny.mp4"
step "wait until it is transcoded" video_wait
step "play it in Chromium" video_play

cat <<TEXT

The demo runs ($(elapsed) min). Look at
  the platform      $FRONTEND_URL   (the token for uploads: $(platform_token))
  its status        KUBECONFIG=$KUBECONFIG $KUBECTL -n $(platform_namespace) get sp $PLATFORM -w
  its AWS           $AWS_ENDPOINT, region $AWS_REGION, any access key
  for scripts       make -s demo-info
Stop it with        make demo-down
TEXT
