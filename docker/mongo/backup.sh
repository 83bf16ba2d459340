#!/bin/sh
# Copies the whole replica set as it was at one moment (mongodump with the oplog), keeps the newest copies.
# mongo_backup.yaml holds the address with its password, so that no process list shows it.
set -eu
umask 077
folder="${BACKUP_FOLDER:-/backup}"
name="$(date -u +%Y%m%dT%H%M%SZ).archive.gz"
# Of one that was killed: this runs one at a time.
rm -f "$folder"/*.archive.gz.partial
trap 'rm -f "$folder/$name.partial"' EXIT
mongodump --config=/run/secrets/mongo_backup.yaml --oplog --gzip --archive="$folder/$name.partial" --quiet
# Read to its end and not written anywhere: a copy that cannot be read is no copy.
gzip --test "$folder/$name.partial"
mv "$folder/$name.partial" "$folder/$name"
echo "Made $folder/$name; the keys of the records are not in it."
find "$folder" -name '*.archive.gz' | sort -r | tail -n "+$((${BACKUPS_KEPT:-14} + 1))" | while read -r old; do
    rm "$old"
    echo "Removed $old"
done
