#!/usr/bin/env bash
# two_hosts.sh COMMAND…: runs the command as two ranks on two hosts, made of network namespaces with a cable between them, and
# prints the bytes that the first host has sent. Once there is a file with the name CUT_BY, the cable is cut. Needs root, iproute2
# and Open MPI.
set -euo pipefail
here=$(mktemp -d)
name=cct$$
end() {
    kill $(jobs -p) 2>/dev/null || true
    for host in 1 2; do
        ip netns pids "$name-$host" 2>/dev/null | xargs -r kill -KILL 2>/dev/null || true
        ip netns del "$name-$host" 2>/dev/null || true
    done
    rm -rf "$here"
}
trap end EXIT
trap 'exit 1' INT TERM
for host in 1 2; do ip netns add "$name-$host"; done
ip link add "v$$-1" netns "$name-1" type veth peer name "v$$-2" netns "$name-2"
for host in 1 2; do
    ip -n "$name-$host" addr add "10.77.0.$host/24" dev "v$$-$host"
    ip -n "$name-$host" link set "v$$-$host" up
    ip -n "$name-$host" link set lo up
done
# What mpirun calls in the place of ssh.
cat > "$here/agent" <<AGENT
#!/usr/bin/env bash
host=\${1##*.}
shift
exec ip netns exec "$name-\$host" unshare --uts bash -c "hostname host\$host; \$*"
AGENT
chmod +x "$here/agent"
# Ranks with different names of their hosts do not share memory.
network=(--mca btl "tcp,self" --mca btl_tcp_if_include 10.77.0.0/24 --mca oob_tcp_if_include 10.77.0.0/24)
# mpirun and its helper on the other host ask each other every few seconds whether they are there.
network+=(--mca oob_tcp_keepalive_time 5 --mca oob_tcp_keepalive_intvl 5 --mca oob_tcp_keepalive_probes 3)
passed=()
for variable in COVID_CT_WORKSPACE COVID_CT_DATA LD_LIBRARY_PATH PATH OMP_NUM_THREADS; do passed+=(-x "$variable"); done
if [ -n "${CUT_BY-}" ]; then
    (while [ ! -e "$CUT_BY" ]; do sleep 0.2; done; ip -n "$name-1" link set "v$$-1" down) &
fi
ip netns exec "$name-1" unshare --uts bash -c 'hostname host1; exec "$@"' mpirun mpirun --mca plm_rsh_agent "$here/agent" \
    "${network[@]}" "${passed[@]}" --host 10.77.0.1:1,10.77.0.2:1 -n 2 "$@" >&2 &
wait $!
ip netns exec "$name-1" cat "/sys/class/net/v$$-1/statistics/tx_bytes" 2>/dev/null ||
    ip -n "$name-1" -s -j link show "v$$-1" | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["stats64"]["tx"]["bytes"])'
