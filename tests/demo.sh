#!/usr/bin/env bash
# From nothing to a ping by name across two hosts. The hosts are two network namespaces joined by a
# cable; what is printed after `host1#` and `host2#` is what you would type on two machines.
# Needs root, the built binary, ip, ping. Leaves nothing behind; its exit status tells the truth.
set -euo pipefail
cd "$(dirname "$0")/.."

weft=${WEFT:-target/debug/weft}
[ -x "$weft" ] || { echo "demo: $weft is missing: run \`make demo\`, which builds it" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "demo: network namespaces need root: run as root" >&2; exit 1; }
for tool in ip ping; do
    command -v "$tool" >/dev/null || { echo "demo: no $tool: apt-get install iproute2 iputils-ping" >&2; exit 1; }
done
weft=$(realpath "$weft")

if ip netns list | grep -qE '^weft-demo-[12]( |$)'; then
    echo "demo: namespaces weft-demo-1 and -2 exist: another demo is running, or remove them with \`ip netns delete\`" >&2
    exit 1
fi
begin=$(date +%s%N)
links_before=$(ls /sys/class/net)
work=$(mktemp -d /tmp/weft-demo-XXXXXX)

# weft on host $1; prints the command as typed.
on() {
    local n=$1
    shift
    printf '\nhost%s# weft %s\n' "$n" "$*"
    quietly "$n" "$@"
}

# The same without a word. Namespaces for its network and its name stand for sitting at that host.
quietly() {
    local n=$1
    shift
    WEFT_STATE_DIR=$work/state$n WEFT_RUN_DIR=$work/run$n ip netns exec "weft-demo-$n" \
        unshare --uts sh -c 'hostname "$0" && exec "$@"' "host$n" "$weft" "$@"
}

# Ids of the processes that the demo started: they carry its folder in their environment.
ours() {
    local dir pid
    for dir in /proc/[0-9]*; do
        pid=${dir#/proc/}
        # A process may end while we look.
        if [ "$pid" != $$ ] && tr '\0' '\n' 2>/dev/null <"$dir/environ" | grep -q "^WEFT_RUN_DIR=$work/"; then
            echo "$pid"
        fi
    done 2>/dev/null
    return 0
}

# Everything goes, whether or not the demo came to its end.
tidy() {
    local status=$? n pid left=
    # Nobody cuts this short: what would be left nobody would find.
    trap - EXIT
    trap '' INT TERM HUP
    set +e
    # What was run in the background ends first, in order, while its daemon can tidy up after it.
    [ -z "${running:-}" ] || { kill -TERM $(ours | grep -vxF -f <(cat "$work"/run?/weft.pid 2>/dev/null)); wait "$running"; } 2>/dev/null
    for n in 1 2; do
        [ ! -e "$work/run$n/weft.pid" ] || timeout -k 1 10 env WEFT_RUN_DIR="$work/run$n" "$weft" stop >/dev/null 2>&1
    done
    for pid in $(ours); do kill -KILL "$pid" 2>/dev/null; done
    wait 2>/dev/null
    for n in 1 2; do ip netns delete "weft-demo-$n" 2>/dev/null; done
    rm -rf "$work"
    ip netns list | grep -qE '^weft-demo-[12]( |$)' && left="$left namespaces"
    [ -z "$(ours)" ] || left="$left processes"
    [ ! -e "$work" ] || left="$left $work"
    [ "$(ls /sys/class/net)" = "$links_before" ] || left="$left links"
    if [ -n "$left" ]; then
        echo "demo: left behind:$left" >&2
        status=1
    fi
    took=$((($(date +%s%N) - begin) / 1000000))
    if [ "$status" = 0 ]; then
        printf '\ndemo: done in %d.%03d s; nothing is left behind\n' $((took / 1000)) $((took % 1000))
    else
        echo "demo: FAILED" >&2
    fi
    exit "$status"
}
trap tidy EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

echo "Two hosts: network namespaces joined by a cable, 192.168.77.1 and 192.168.77.2."
for n in 1 2; do ip netns add "weft-demo-$n"; done
ip link add eth0 netns weft-demo-1 type veth peer name eth0 netns weft-demo-2
for n in 1 2; do
    ip -n "weft-demo-$n" link set lo up
    ip -n "weft-demo-$n" address add "192.168.77.$n/24" dev eth0
    ip -n "weft-demo-$n" link set eth0 up
done

on 1 launch --password wool
on 2 launch --password wool 192.168.77.1
printf '\nhost1# weft run --name pingme -- sleep 60 &\n'
quietly 1 run --name pingme -- sleep 60 &
running=$!
for _ in $(seq 100); do
    found=$(quietly 2 dns-lookup pingme 2>/dev/null || true)
    [ -z "$found" ] || break
    sleep 0.05
done
[ -n "$found" ] || { echo "demo: host2 does not know the name pingme after 5 s" >&2; exit 1; }
on 2 run -- ping -c 3 -i 0.2 pingme | tee "$work/ping"
# The exit status came through weft; what ping printed must agree with it.
grep -q ' 0% packet loss' "$work/ping" || { echo "demo: not every ping was answered" >&2; exit 1; }
for n in 1 2; do on "$n" status; done
