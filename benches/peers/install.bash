# shellcheck shell=bash
# What `run` needs, from the ordinary registries, below $work. Versions are pinned by package-lock.json, dbos/requirements.txt
# and the two Cargo.lock; PostgreSQL and wrk are Debian's, and `versions` says which they were.

: "${here:?}" "${root:?}" "${work:?}" # set by run

needs() { # needs COMMAND PACKAGE: installs a Debian package when its command is missing
  command -v "$1" >/dev/null 2>&1 && return 0
  command -v apt-get >/dev/null 2>&1 || die "$1 is missing, and there is no apt-get to install $2"
  say "apt-get install $2"
  { [ -n "${apt_updated:-}" ] || apt-get update -qq; apt_updated=1; apt-get install -y -qq "$2"; } >/dev/null
  command -v "$1" >/dev/null 2>&1 || die "$2 is installed, but $1 is not there"
}

install_all() {
  needs cargo cargo
  needs python3 python3
  if wants paystate; then install_paystate; fi
  if wants paystate || wants restate; then needs wrk wrk; needs curl curl; fi
  if wants restate || wants dbos; then install_npm; fi
  if wants restate; then build_peer restate; fi
  if wants dbos; then install_dbos; fi
  if wants duroxide; then build_peer duroxide; fi
}

install_paystate() {
  paystate=${PAYSTATE:-}
  if [ -z "$paystate" ]; then
    say "building Paystate"
    (cd "$root" && nice cargo build --release --locked --quiet --target-dir "$root/target")
    paystate=$root/target/release/paystate
  fi
  [ -x "$paystate" ] || die "$paystate is no program"
}

build_peer() {
  say "building the peer program for $1"
  (cd "$here/$1" && nice cargo build --release --locked --quiet --target-dir "$work/cargo")
}

install_npm() {
  needs npm npm
  mkdir -p "$work/npm"
  cmp -s "$here/package-lock.json" "$work/npm/installed-lock.json" && return 0
  say "npm ci"
  cp "$here/package.json" "$here/package-lock.json" "$work/npm/"
  (cd "$work/npm" && npm ci --silent --no-fund --no-audit)
  cp "$here/package-lock.json" "$work/npm/installed-lock.json"
}

install_dbos() {
  if ! cmp -s "$here/dbos/requirements.txt" "$work/venv/installed-requirements.txt"; then
    say "pip install dbos"
    python3 -m venv "$work/venv" || die "python3 cannot make a virtual environment (Debian: python3-venv)"
    "$work/venv/bin/pip" install --quiet --no-deps --requirement "$here/dbos/requirements.txt"
    cp "$here/dbos/requirements.txt" "$work/venv/installed-requirements.txt"
  fi
  postgres_bin=$(newest_postgres)
  if [ -z "$postgres_bin" ]; then needs_postgres; fi
}

newest_postgres() { # the folder of the newest initdb, or nothing
  local found
  found=$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -n 1) || true
  if [ -n "$found" ]; then dirname "$found"; fi
}

needs_postgres() {
  command -v apt-get >/dev/null 2>&1 || die "PostgreSQL is missing, and there is no apt-get to install it"
  say "apt-get install postgresql"
  { apt-get update -qq; apt-get install -y -qq postgresql; } >/dev/null
  postgres_bin=$(newest_postgres)
  [ -n "$postgres_bin" ] || die "postgresql is installed, but its initdb is not below /usr/lib/postgresql"
}

locked() { # locked FILE PACKAGE: the version of a package in a Cargo.lock
  awk -v name="\"$2\"" '$1 == "name" && $3 == name { found = 1 } found && $1 == "version" { gsub(/"/, "", $3); print $3; exit }' "$1"
}

npm_version() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["version"])' "$work/npm/node_modules/$1/package.json"; }

versions() { # a line a system: name, title, version, path, durability; separated by tabs
  local system version postgres=''
  if wants dbos; then postgres=$("$postgres_bin/postgres" --version | awk '{ print $3 }'); fi
  for system in $(systems); do
    case ${system%%-*} in
      paystate | embedded) version="$("$paystate" --version | awk '{ print $2 }') ($(git -C "$root" describe --always --dirty))" ;;
      restate) version="$(npm_version @restatedev/restate-server), SDK $(locked "$here/restate/Cargo.lock" restate-sdk)" ;;
      dbosts) version="$(npm_version @dbos-inc/dbos-sdk), PostgreSQL $postgres" ;;
      dbospy) version="$("$work/venv/bin/pip" show dbos 2>/dev/null | awk '/^Version:/ { print $2 }'), PostgreSQL $postgres" ;;
      duroxide) version=$(locked "$here/duroxide/Cargo.lock" duroxide) ;;
    esac
    printf '%s\t%s\t%s\n' "$system" "$version" "$(about "$system")"
  done
}
