# The first container of a backup, in the image of PostgreSQL: dumps the database into $WORK and reads the dump back.
set -euo pipefail
umask 077

# pg_dump takes an address only as an argument, where others could read the password: its parts become libpq's variables.
decoded() { local text=${1//\\/\\\\}; printf '%b' "${text//%/\\x}"; }
if [ -n "${DATABASE_URL:-}" ]; then
  shape='^postgres(ql)?://(([^:@/?]*)(:([^@/?]*))?@)?(\[[^]]*\]|[^:/?]*)(:([0-9]+))?(/([^?]*))?(\?(.*))?$'
  [[ "$DATABASE_URL" =~ $shape ]] || { echo "the address of the database is not postgres://user:password@host:port/name" >&2; exit 1; }
  user=${BASH_REMATCH[3]} password=${BASH_REMATCH[5]} host=${BASH_REMATCH[6]} port=${BASH_REMATCH[8]} name=${BASH_REMATCH[10]}
  query=${BASH_REMATCH[12]}
  # Another user may be meant for the dump than for the server (backup.extraEnv), and comes with a password of its own.
  if [ -z "${PGUSER:-}" ]; then PGUSER=$(decoded "$user"); PGPASSWORD=$(decoded "$password"); fi
  PGDATABASE=$(decoded "$name")
  PGHOST=${host#[}; PGHOST=${PGHOST%]}; PGPORT=${port:-5432}
  export PGUSER PGPASSWORD PGDATABASE PGHOST PGPORT
  [ -n "$PGDATABASE" ] || PGDATABASE=$(decoded "$user")
  while IFS= read -r pair; do
    case "$pair" in
      sslmode=*) PGSSLMODE=$(decoded "${pair#*=}"); export PGSSLMODE ;;
      sslrootcert=*) PGSSLROOTCERT=$(decoded "${pair#*=}"); export PGSSLROOTCERT ;;
    esac
  done < <(tr '&' '\n' <<< "$query")
  unset DATABASE_URL
fi

rm -rf "$WORK"
mkdir -p "$WORK"
psql --no-psqlrc --tuples-only --no-align --command 'SELECT version()' > "$WORK/server.txt"
pg_dump --version >> "$WORK/server.txt"
pg_dump --format=custom --lock-wait-timeout=60s --file="$WORK/rae.dump"
# A dump that cannot be read, or that holds nothing of RAE, is no backup.
pg_restore --list "$WORK/rae.dump" > "$WORK/contents.txt"
grep -q ' TABLE DATA rae ' "$WORK/contents.txt" || { echo "the dump holds no table of RAE: is this its database?" >&2; exit 1; }
echo "dumped $PGDATABASE of $PGHOST: $(stat -c %s "$WORK/rae.dump") bytes"
