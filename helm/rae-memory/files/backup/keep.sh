# The second container of a backup, in the image of RAE: adds snapshots of Qdrant, and keeps the backup in the volume or in S3.
set -eu
umask 077
failed=0
name=$(date -u +%Y%m%dT%H%M%SZ)

# Keys go to curl by files and by its standard input, as arguments can be read by others.
qdrant() { curl --fail --silent --show-error --header @/tmp/qdrant-headers "$@" < /dev/null; }
snapshots() {
  : > /tmp/qdrant-headers
  if [ -n "${QDRANT_API_KEY:-}" ]; then printf 'api-key: %s\n' "$QDRANT_API_KEY" > /tmp/qdrant-headers; fi
  qdrant --max-time 60 --output /tmp/collections "$QDRANT_URL/collections" || return 1
  mkdir -p "$WORK/qdrant"
  grep -oE '"name": *"rae_[^"]*"' /tmp/collections | cut -d '"' -f 4 > /tmp/names || true
  [ -s /tmp/names ] || echo "Qdrant has no collection of RAE"
  while read -r collection; do
    at="$QDRANT_URL/collections/$collection/snapshots"
    qdrant --max-time 3600 --request POST --output /tmp/snapshot "$at?wait=true" || return 1
    file=$(grep -oE '"name": *"[^"]*"' /tmp/snapshot | head -n 1 | cut -d '"' -f 4)
    [ -n "$file" ] || return 1
    qdrant --max-time 3600 --output "$WORK/qdrant/$collection.snapshot" "$at/$file" || return 1
    qdrant --max-time 600 --request DELETE --output /dev/null "$at/$file" || return 1
    echo "snapshot of $collection: $(stat -c %s "$WORK/qdrant/$collection.snapshot") bytes"
  done < /tmp/names
}

s3() { # s3 FILE OBJECT
  sum=$(sha256sum "$1" | cut -d ' ' -f 1)
  printf 'user = "%s:%s"\n' "$S3_ACCESS_KEY_ID" "$S3_SECRET_ACCESS_KEY" |
    curl --config - --fail --silent --show-error --max-time 7200 --aws-sigv4 "aws:amz:$S3_REGION:s3" \
      --header "x-amz-content-sha256: $sum" --upload-file "$1" --output /dev/null "$S3_URL/$S3_PREFIX$name/$2"
  echo "stored $S3_PREFIX$name/$2"
}

test -s "$WORK/rae.dump"
if [ -n "${QDRANT_URL:-}" ] && ! snapshots; then
  # Nothing on Qdrant is the truth: the dump is kept all the same, and the Job fails so that somebody looks.
  echo "the snapshots of Qdrant failed; the dump is kept without them" >&2
  rm -rf "$WORK/qdrant"
  failed=1
fi
cd "$WORK"
find . -type f | sed 's#^\./##' | sort > /tmp/files
xargs sha256sum < /tmp/files > SHA256SUMS

if [ "$DESTINATION" = s3 ]; then
  while read -r file; do
    # One request takes 5 GiB at most. `cat rae.dump.*` puts the pieces together again.
    if [ "$(stat -c %s "$file")" -gt "${S3_PIECE_BYTES:-4294967296}" ]; then
      split --bytes="${S3_PIECE_BYTES:-4294967296}" --numeric-suffixes --suffix-length=4 "$file" "$file."
      for piece in "$file".[0-9][0-9][0-9][0-9]; do s3 "$piece" "$piece"; rm "$piece"; done
    else
      s3 "$file" "$file"
    fi
  done < /tmp/files
  # Last, so that a backup with this file is a whole one.
  s3 SHA256SUMS SHA256SUMS
  cd /
  rm -rf "$WORK"
else
  cd /
  mv "$WORK" "$BACKUPS/$name"
  sync
  # The names begin with the year, so that their order is that of time.
  find "$BACKUPS" -mindepth 1 -maxdepth 1 -type d -name '[0-9]*T[0-9]*Z' | sort | head -n "-$RETENTION" | while read -r old; do
    rm -rf "$old"
    echo "removed $old"
  done
  echo "kept $BACKUPS/$name"
fi
exit "$failed"
