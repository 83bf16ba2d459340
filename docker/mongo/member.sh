#!/bin/sh
# Starts one member of the replica set. mongod refuses a key file that others may read, and a mounted secret is one:
# it is copied to memory first.
set -eu
umask 077
cp /run/secrets/mongo_keyfile /run/mongo/keyfile
chmod 0400 /run/mongo/keyfile
exec mongod --replSet fhir --bind_ip_all --keyFile /run/mongo/keyfile --dbpath /data/db \
    --wiredTigerCacheSizeGB "${MONGO_CACHE_GB:-1}"
