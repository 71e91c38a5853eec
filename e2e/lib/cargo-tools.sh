# shellcheck shell=bash
# Cargo's tools, of pinned versions, in the cache. Debug builds: they compile in half the
# time and run fast enough.

CARGO_TOOLS=(cargo-nextest@0.9.151 cargo-deny@0.20.2)
# Built only where the database that it reads can be reached.
AUDIT_TOOL=cargo-audit@0.22.2
# Compiles binaries that name the crates in them, for the images.
AUDITABLE_TOOL=cargo-auditable@0.7.7
# An AWS emulator with real databases behind it. AGPL: a program that tests start, never linked.
FAKECLOUD_TOOL=fakecloud@0.51.0

cargo_tool_dir() { echo "$CACHE/cargo-tools/$1"; }

FAKECLOUD=$(cargo_tool_dir "$FAKECLOUD_TOOL")/bin/fakecloud
export FAKECLOUD

build_cargo_tool() {
  CARGO_TARGET_DIR=$2/target CARGO_PROFILE_DEV_DEBUG=0 cargo install --locked --debug --root "$2" "$1"
  rm -rf "$2/target"
}

# ensure_cargo_tools TOOL...: builds what is missing and puts all of them on the PATH.
ensure_cargo_tools() {
  local tool dir
  for tool in "$@"; do
    dir=$(cargo_tool_dir "$tool")
    [[ -e $dir ]] || step "build $tool" build_once "$dir" build_cargo_tool "$tool"
    PATH=$dir/bin:$PATH
  done
  export PATH
}
