# shellcheck shell=bash
# How each system is started, measured and stopped. `start_FAMILY SYSTEM` starts it on fresh data; `measure_FAMILY SYSTEM
# CLIENTS` prints one JSON object (orders, seconds, p50_ms, p99_ms); `stop_all` ends whatever was started.

: "${here:?}" "${work:?}" "${data:?}" "${warmup:?}" "${seconds:?}" # set by run
paystate=${paystate-} postgres_bin=${postgres_bin-}                 # set by install_all

started=() # process ids, each a child of this shell

systems() {
  if wants paystate; then echo paystate; fi
  if wants restate; then echo restate-24 restate-4 restate-1; fi
  if wants paystate; then echo embedded; fi
  if wants dbos; then echo dbosts dbospy; fi
  if wants duroxide; then echo duroxide duroxide-tuned; fi
}

about() { # title, path, durability; separated by tabs
  case $1 in
    paystate) printf 'Paystate\tHTTP\tfdatasync before each commit is acknowledged, shared by a group' ;;
    restate-24) printf 'Restate, defaults (24 partitions)\tHTTP\tfsync of the log before each commit is acknowledged, shared by a group' ;;
    restate-1) printf 'Restate, 1 partition\tHTTP\tfsync of the log before each commit is acknowledged, shared by a group' ;;
    restate-*) printf 'Restate, %s partitions\tHTTP\tfsync of the log before each commit is acknowledged, shared by a group' "${1#restate-}" ;;
    embedded) printf 'Paystate\tin process\tfdatasync before each commit is acknowledged, shared by a group' ;;
    dbosts) printf 'DBOS TypeScript, pool of 40\tin process\tPostgreSQL: fsync=on, synchronous_commit=on, fdatasync of the WAL' ;;
    dbospy) printf 'DBOS Python, pool of 40\tin process\tPostgreSQL: fsync=on, synchronous_commit=on, fdatasync of the WAL' ;;
    duroxide) printf 'duroxide, defaults\tin process\tWEAKER: SQLite WAL, synchronous=NORMAL, no sync at commit' ;;
    duroxide-tuned) printf 'duroxide, tuned\tin process\tWEAKER: SQLite WAL, synchronous=NORMAL, no sync at commit' ;;
  esac
}

free_ports() { # free_ports COUNT: that many ports of the loopback that nobody listens on
  python3 - "$1" <<'PY'
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(one.getsockname()[1] for one in held))
PY
}

launch() { # launch LOG COMMAND...: in the background, to be ended by stop_all
  local log=$1; shift
  "$@" >"$log" 2>&1 </dev/null &
  started+=($!)
}

wait_for() { # wait_for WHAT COMMAND...: until the command succeeds, for a minute at most
  local what=$1 until=$((SECONDS + 60)); shift
  until "$@" >/dev/null 2>&1; do
    kill -0 "${started[-1]}" 2>/dev/null || die "$what has ended by itself; see its log below $data"
    [ $SECONDS -lt $until ] || die "$what does not answer within a minute; see its log below $data"
    sleep 0.1
  done
}

stop_all() {
  local pid tries
  if [ -n "${postgres_data:-}" ]; then as_postgres "$postgres_bin/pg_ctl" stop --silent -m fast -D "$postgres_data" || true; postgres_data=; fi
  for pid in ${started[@]+"${started[@]}"}; do
    kill -TERM "$pid" 2>/dev/null || continue
    for ((tries = 0; tries < 150; tries++)); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  started=()
}

# drive URL BODY STATUS EXPECT CLIENTS: closed loop over HTTP/1.1 with keep-alive, one request under way a client
drive() {
  local url=$1 count=$5
  export ORDER_BODY=$2 ORDER_STATUS=$3 ORDER_EXPECT=$4
  wrk -t1 -c"$count" -d"${warmup}s" --timeout 60s -s "$here/order.lua" "$url" >/dev/null
  wrk -t1 -c"$count" -d"${seconds}s" --timeout 60s -s "$here/order.lua" "$url" | grep '^{' | python3 -c '
import json, sys
figures = json.load(sys.stdin)
if figures["wrong"] or figures["broken"]:
    sys.exit("{wrong} wrong answers, {broken} broken connections; {example}".format(**figures))
print(json.dumps({name: figures[name] for name in ("orders", "seconds", "p50_ms", "p99_ms")}))'
}

# Paystate over HTTP.
start_paystate() {
  read -r port < <(free_ports 1)
  launch "$data/paystate.log" "$paystate" bench --listen "127.0.0.1:$port" --data "$data"
  wait_for Paystate curl --silent --fail "http://127.0.0.1:$port/openapi.json"
}
measure_paystate() {
  drive "http://127.0.0.1:$port/v1/orders?wait=30s" '{"workflow": "six_steps", "input": {"amount": 1000}}' 201 '"status":"succeeded"' "$2"
}

# Paystate in process. A first, short run says how many orders fill the time.
start_embedded() { :; }
measure_embedded() {
  local first orders
  first=$("$paystate" bench --json --data "$data" --concurrency "$2" --orders $(($2 * 40 + 400)))
  orders=$(python3 -c 'import json, sys; print(max(100, round(json.loads(sys.argv[1])["orders_per_s"] * int(sys.argv[2]))))' "$first" "$seconds")
  "$paystate" bench --json --data "$data" --concurrency "$2" --orders "$orders"
}

# Restate: its server, and the service that it calls.
start_restate() {
  local ingress admin node service server deployment
  read -r ingress admin node service < <(free_ports 4)
  port=$ingress
  server=$(compgen -G "$work/npm/node_modules/@restatedev/restate-server-*/bin/restate-server") || die "restate-server has no program for this machine"
  launch "$data/restate-service.log" "$work/cargo/release/peer-restate" "127.0.0.1:$service"
  wait_for "Restate's service" bash -c "exec 3<>/dev/tcp/127.0.0.1/$service"
  launch "$data/restate-server.log" env RESTATE_DISABLE_TELEMETRY=true RESTATE_LOG_FILTER=warn RESTATE_LISTEN_MODE=tcp \
    RESTATE_INGRESS__BIND_ADDRESS="127.0.0.1:$ingress" RESTATE_ADMIN__BIND_ADDRESS="127.0.0.1:$admin" \
    RESTATE_BIND_ADDRESS="127.0.0.1:$node" RESTATE_DEFAULT_NUM_PARTITIONS="${1#restate-}" \
    "$server" --no-logo --node-name peers --base-dir "$data/restate"
  deployment="{\"uri\": \"http://127.0.0.1:$service\"}"
  wait_for "Restate" curl --silent --fail --max-time 10 --json "$deployment" "http://127.0.0.1:$admin/deployments"
  wait_for "Restate's service" curl --silent --fail --max-time 10 --json '{"amount": 1000}' "http://127.0.0.1:$port/Orders/place"
}
measure_restate() {
  drive "http://127.0.0.1:$port/Orders/place" '{"amount": 1000}' 200 '"status":"succeeded"' "$2"
}

# DBOS, on a PostgreSQL of its own.
as_postgres() { # PostgreSQL refuses root
  if [ "$EUID" -eq 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi
}
start_postgres() {
  local password
  as_postgres test -x "$data" || die "the user postgres cannot reach $data; run this as another user than root, or elsewhere"
  read -r port < <(free_ports 1)
  password=$(python3 -c 'import secrets; print(secrets.token_hex(16))')
  mkdir -p "$data/postgres"
  printf '%s\n' "$password" >"$data/postgres/password"
  if [ "$EUID" -eq 0 ]; then chown -R postgres: "$data/postgres"; fi
  chmod 700 "$data/postgres"
  as_postgres "$postgres_bin/initdb" --username=peers --auth=scram-sha-256 --pwfile="$data/postgres/password" \
    --encoding=UTF8 --locale=C -D "$data/postgres/cluster" >"$data/initdb.log"
  postgres_data=$data/postgres/cluster
  as_postgres "$postgres_bin/pg_ctl" start --silent --wait -D "$data/postgres/cluster" -l "$data/postgres/log" \
    -o "-h 127.0.0.1 -p $port -k '' -c shared_buffers=1GB -c max_wal_size=4GB -c max_connections=300 -c fsync=on -c synchronous_commit=on"
  export DBOS_SYSTEM_DATABASE_URL="postgresql://peers:$password@127.0.0.1:$port/dbos"
}
pool=40 # connections to PostgreSQL; of 10 (the default in TypeScript), 20 (in Python) and 40, this was best
start_dbosts() { start_postgres; }
measure_dbosts() { (cd "$work/npm" && timeout 300 node "$here/dbos/six_steps.mjs" "$2" "$warmup" "$seconds" $pool); }
start_dbospy() { start_postgres; }
measure_dbospy() { timeout 300 "$work/venv/bin/python" "$here/dbos/six_steps.py" "$2" "$warmup" "$seconds" $pool; }

# duroxide, on a fresh file for each measurement: what a run has left under way would be taken up by the next.
start_duroxide() { :; }
measure_duroxide() {
  local tuning=()
  if [ "$1" = duroxide-tuned ]; then # what was best, of polls every 1 to 100 ms by 1 to 4 dispatchers
    if [ "$2" -eq 1 ]; then tuning=(1 2 2); else tuning=(50 2 2); fi
  fi
  rm -f "$data"/orders.db*
  timeout 300 "$work/cargo/release/peer-duroxide" "$data/orders.db" "$2" "$warmup" "$seconds" ${tuning[@]+"${tuning[@]}"} |
    tail -n 1 # its warnings go to the same place
}
