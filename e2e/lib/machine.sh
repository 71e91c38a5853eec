# shellcheck shell=bash
# Debian packages that a fresh machine lacks, installed in one go and only if something is missing.

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

# Installs what is missing. Nothing is done, and no package list fetched, when all of it is there.
machine_packages() {
  local missing
  mapfile -t missing < <(machine_missing)
  ((${#missing[@]})) || return 0
  ((EUID == 0)) || die "these Debian packages are missing; install them: ${missing[*]}"
  echo "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # The tests start PostgreSQL servers of their own; Debian's package need not start one.
  if [[ ! -e /etc/postgresql-common/createcluster.conf ]]; then
    mkdir -p /etc/postgresql-common
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
  fi
  apt-get -q update
  apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "${missing[@]}"
}
