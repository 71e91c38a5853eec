#!/usr/bin/env bash
# Makes the database at the first start, from POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB (each also
# as a file, _FILE) and PGDATA, as the official image does; then runs the server.
set -euo pipefail

[[ ${1:-} == -* ]] && set -- postgres "$@"
[[ ${1:-} == postgres ]] || exec "$@"

if ((EUID == 0)); then
  mkdir -p "$PGDATA"
  chown -R postgres:postgres "$PGDATA" /var/run/postgresql
  exec setpriv --reuid=postgres --regid=postgres --init-groups "${BASH_SOURCE[0]}" "$@"
fi

# setting NAME DEFAULT: the variable, or the content of the file that NAME_FILE names.
setting() {
  local file=${1}_FILE
  if [[ -n ${!file:-} ]]; then cat "${!file}"; else echo "${!1:-$2}"; fi
}

# The database is made aside and moved in, its version file last, so that a start that is cut off
# leaves nothing that looks like a database.
initialize() {
  local new=$PGDATA/.new user password database file
  user=$(setting POSTGRES_USER postgres)
  password=$(setting POSTGRES_PASSWORD "")
  database=$(setting POSTGRES_DB "$user")
  [[ -n $password ]] || { echo "set POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE" >&2; exit 1; }

  [[ ! -e $new ]] || find "$PGDATA" -mindepth 1 -delete
  initdb --pgdata "$new" --username "$user" --pwfile <(printf '%s\n' "$password") \
    --auth-local trust --auth-host scram-sha-256 --encoding UTF8
  echo "host all all all scram-sha-256" >>"$new/pg_hba.conf"
  echo "listen_addresses = '*'" >>"$new/postgresql.conf"

  pg_ctl --pgdata "$new" --wait --options "-c listen_addresses=''" start
  if [[ $database != postgres ]]; then
    psql --no-psqlrc -v ON_ERROR_STOP=1 -v name="$database" -U "$user" -d postgres <<<'CREATE DATABASE :"name";'
  fi
  for file in /docker-entrypoint-initdb.d/*.sql; do
    [[ ! -e $file ]] || psql --no-psqlrc -v ON_ERROR_STOP=1 -U "$user" -d "$database" -f "$file"
  done
  pg_ctl --pgdata "$new" --wait --mode fast stop

  find "$new" -mindepth 1 -maxdepth 1 ! -name PG_VERSION -exec mv -t "$PGDATA" {} +
  mv "$new/PG_VERSION" "$PGDATA/"
  rmdir "$new"
}

mkdir -p "$PGDATA"
[[ ! -O $PGDATA ]] || chmod 700 "$PGDATA"
[[ -s $PGDATA/PG_VERSION ]] || initialize
exec "$@"
