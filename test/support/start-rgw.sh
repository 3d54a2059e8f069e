#!/usr/bin/env bash
# A Ceph cluster of one monitor and one storage daemon in memory, with its S3 gateway, all of it in one folder:
#   start-rgw.sh FOLDER GATEWAY_PORT MONITOR_PORT     prints ready; user and password are lorakeet-test
#   start-rgw.sh FOLDER stop
# Needs Debian's radosgw, ceph-mon, ceph-osd and ceph-common.
set -euo pipefail
folder=$1

if [ "$2" = stop ]; then
  for name in client.rgw.a osd.0 mon.a; do
    pid=$(cat "$folder/run/$name.pid" 2>/dev/null) && kill "$pid" 2>/dev/null || true
  done
  exit 0
fi

gateway_port=$2 monitor_port=$3
mkdir -p "$folder"/{mon.a,osd.0,rgw,run,log}
fsid=$(cat /proc/sys/kernel/random/uuid)
export CEPH_CONF=$folder/ceph.conf
cat >"$CEPH_CONF" <<END
[global]
fsid = $fsid
mon initial members = a
mon host = [v2:127.0.0.1:$monitor_port]
public addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
auth allow insecure global id reclaim = false
run dir = $folder/run
admin socket = $folder/run/\$name.asok
pid file = $folder/run/\$name.pid
log file = $folder/log/\$name.log
crash dir = $folder/run
keyring = $folder/keyring
mon data = $folder/mon.a
osd data = $folder/osd.0
rgw data = $folder/rgw
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail warn = 1
mon data avail crit = 1
ms bind ipv6 = false
ms mon client mode = crc
ms mon service mode = crc
ms mon cluster mode = crc
[osd]
osd objectstore = memstore
memstore device bytes = 1073741824
osd max object name len = 256
osd max object namespace len = 64
[client.rgw.a]
# or each small answer waits 40 ms for an acknowledgement
rgw frontends = beast endpoint=127.0.0.1:$gateway_port tcp_nodelay=1
rgw run sync thread = false
END
: >"$folder/keyring"
monmaptool --create --fsid "$fsid" --addv a "[v2:127.0.0.1:$monitor_port]" "$folder/monmap" >/dev/null
ceph-mon --mkfs -i a --monmap "$folder/monmap" --keyring "$folder/keyring"
ceph-mon -i a
osd=$(ceph osd new "$(cat /proc/sys/kernel/random/uuid)" >/dev/null && ceph osd dump -f json |
  grep -o '"uuid":"[^"]*"' | head -n 1 | cut -d '"' -f 4)
ceph-osd -i 0 --mkfs --osd-uuid "$osd" >/dev/null 2>&1
ceph-osd -i 0
ceph osd crush add osd.0 1.0 root=default host=localhost 2>/dev/null
radosgw -n client.rgw.a
for _ in $(seq 300); do
  curl -fs "http://127.0.0.1:$gateway_port/" >/dev/null && break
  sleep 0.2
done
radosgw-admin user create --uid=test --display-name=test --access-key=lorakeet-test --secret-key=lorakeet-test >/dev/null
echo ready
