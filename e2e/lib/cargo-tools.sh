# shellcheck shell=bash
# Cargo's tools for `make test`, of pinned versions, in the cache. Debug builds: they compile in half the
# time and run fast enough.

CARGO_TOOLS=(cargo-nextest@0.9.151 cargo-deny@0.20.2)

cargo_tool_dir() { echo "$CACHE/cargo-tools/$1"; }

build_cargo_tool() {
  CARGO_TARGET_DIR=$2/target CARGO_PROFILE_DEV_DEBUG=0 cargo install --locked --debug --root "$2" "$1"
  rm -rf "$2/target"
}

# ensure_cargo_tools: builds what is missing and puts all of them on the PATH.
ensure_cargo_tools() {
  local tool dir
  for tool in "${CARGO_TOOLS[@]}"; do
    dir=$(cargo_tool_dir "$tool")
    [[ -e $dir ]] || step "build $tool" build_once "$dir" build_cargo_tool "$tool"
    PATH=$dir/bin:$PATH
  done
  export PATH
}
