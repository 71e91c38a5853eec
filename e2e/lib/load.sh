# shellcheck shell=bash
# Everything in this folder, for the scripts that need more than a part of it.

. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. "$E2E_DIR/lib/machine.sh"
. "$E2E_DIR/lib/tools.sh"
. "$E2E_DIR/lib/cargo-tools.sh"
. "$E2E_DIR/lib/engine.sh"
. "$E2E_DIR/lib/environment.sh"
. "$E2E_DIR/lib/emulator.sh"
. "$E2E_DIR/lib/base-images.sh"
. "$E2E_DIR/node-image/build.sh"
. "$E2E_DIR/lib/cluster.sh"
. "$E2E_DIR/lib/images.sh"
. "$E2E_DIR/lib/platform.sh"
