# shellcheck shell=bash
# What is asked of a machine, and the Debian packages that a fresh one lacks, installed in one go.

# One line a need: a file that shows it is there, then the package that brings it.
MACHINE_NEEDS="
/usr/bin/curl curl
/usr/bin/jq jq
/usr/bin/pkg-config pkg-config
/usr/include/seccomp.h libseccomp-dev
/usr/bin/mmdebstrap mmdebstrap
/usr/sbin/dockerd docker.io
/usr/sbin/iptables iptables
/usr/sbin/nft nftables
/bin/ip iproute2
/usr/bin/pgrep procps
/usr/bin/ffmpeg ffmpeg
/usr/bin/chromium chromium
/usr/bin/shellcheck shellcheck
/usr/lib/postgresql/15/bin/initdb postgresql-15
"

machine_missing() {
  local file package
  while read -r file package; do
    [[ -z $file || -e $file ]] || echo "$package"
  done <<<"$MACHINE_NEEDS"
  python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
}

# machine_ready: says at once what this machine can't do, and installs what is missing.
machine_ready() {
  local command absent=() missing
  [[ $(uname -sm) == "Linux x86_64" ]] || die "this needs Linux on x86_64, not $(uname -sm)"
  for command in cargo go node npm python3 gcc git; do
    command -v "$command" >/dev/null || absent+=("$command")
  done
  ((${#absent[@]} == 0)) || die "install these first, they are not on the PATH: ${absent[*]}"
  mapfile -t missing < <(machine_missing)
  ((${#missing[@]})) || return 0
  if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
    die "install these packages first, or be root on Debian 12: ${missing[*]}"
  fi
  step "install Debian packages" machine_packages "${missing[@]}"
}

machine_packages() {
  echo "installing $*"
  export DEBIAN_FRONTEND=noninteractive
  # The tests start PostgreSQL servers of their own; Debian's package need not start one.
  if [[ ! -e /etc/postgresql-common/createcluster.conf ]]; then
    mkdir -p /etc/postgresql-common
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
  fi
  apt-get -q update
  apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@"
}
