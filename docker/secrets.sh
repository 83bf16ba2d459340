#!/bin/sh
# Makes the secrets of compose.yaml in docker/secrets, those that are missing: passwords of chance, the key file of the
# replica set, the addresses that hold passwords. Overwrites nothing. TLS certificate and keys of the records are
# not among them: docs/docker.md says where they come from.
set -eu
umask 077
cd "$(dirname "$0")"
# The folder is the operator's alone; the files in it can be read by the containers' accounts, to whom they are given.
mkdir -p secrets
chmod 0700 secrets

chance() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }
keep() {
    if [ -e "secrets/$1" ]; then cat >/dev/null; else cat >"secrets/$1.new"; chmod 0444 "secrets/$1.new"; mv "secrets/$1.new" "secrets/$1"; echo "Made secrets/$1"; fi
}

for name in mongo_admin_password mongo_fhir_password mongo_backup_password; do
    chance 24 | keep "$name"
done
# 1,024 characters of base64 at most; hexadecimal digits are among them.
chance 384 | keep mongo_keyfile
hosts=mongo-0:27017,mongo-1:27017,mongo-2:27017
options="replicaSet=fhir&authSource=admin"
echo "mongodb://fhir:$(cat secrets/mongo_fhir_password)@$hosts/fhir?$options" | keep fhir_store
echo "uri: mongodb://backup:$(cat secrets/mongo_backup_password)@$hosts/?$options&readPreference=secondaryPreferred" |
    keep mongo_backup.yaml
# For the operator's hand alone: no container has it.
echo "uri: mongodb://admin:$(cat secrets/mongo_admin_password)@$hosts/?$options" | keep mongo_restore.yaml
