#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# uffd-stat-beside.sh - uffd-stat and those that count too: a real Prometheus
# that scrapes --listen ten times under load, the kernel's count of page faults
# (getrusage() of the target), and strace's of system calls.
#
# Numbers of the library are compared with what others counted of the same cycles,
# to two in a hundred. A skip for want of Prometheus comes after the rest.

. "$srcdir/tests/kit/functions.sh"
make_tmp
stat=$FL_BUILDDIR/tools/uffd-stat
spin=$FL_BUILDDIR/tests/tools/cycle-pool
python=/usr/bin/python3
test -x "$stat" || failed "no uffd-stat"
# Not for want of something that a machine could have.
grep -q 'WITH_UFFD_TRUE"\]=""' "$FL_BUILDDIR/config.status" || {
	echo "skipped: this build publishes no statistics"
	echo "0 passed, 0 failed, 1 skipped"
	exit 77
}
test -x $python || skipped "$python, which reads the answers, is not there"
running=
served=
# stop PID... - and wait, so that the shell says so now and not at the end.
stop()
{
	test $# -eq 0 || kill -9 "$@" 2>/dev/null
	for child; do
		wait "$child" 2>/dev/null
	done
}
# shellcheck disable=SC2086 # words
trap 'stop $running $served; rm -rf "$tmp"' EXIT

wait_for()
{
	i=0
	while ! grep -q "$1" "$2" 2>/dev/null; do
		i=$((i + 1))
		test "$i" -lt 600 || failed "no \"$1\" in $2: $(cat "$2")"
		sleep 0.1
	done
}

# The number of that name in --json of a process.
number()
{
	"$stat" -p "$1" --json |
		$python -c 'import json, sys
process = json.load(sys.stdin)["processes"][0]
numbers = dict(process["kernel"])
numbers.update(process["pools"][0]["numbers"])
print(numbers[sys.argv[1]])' "$2"
}

# near NAME COUNT OTHER - within two in a hundred of each other.
near()
{
	echo "  $1: uffd-stat $2, counted beside it $3"
	test $((($2 - $3) * 50)) -le "$3" && test $((($3 - $2) * 50)) -le "$3" ||
		failed "$1: $2 and $3 are further apart than 2 %"
}

# ----------------------------------------------- Prometheus, while others count

scrape_begin()
{
	# Some thousand cycles a second, all the while.
	"$spin" 1000 1 200 >"$tmp/load" &
	load=$!
	served=$load
	wait_for cycled "$tmp/load"
	ports=$($python -c 'import socket
ends = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*[end.getsockname()[1] for end in ends])')
	mine=${ports% *}
	its=${ports#* }
	"$stat" -p $load --listen "127.0.0.1:$mine" >"$tmp/listen" 2>&1 &
	served="$served $!"
	wait_for serving "$tmp/listen"
	cat >"$tmp/prometheus.yml" <<END
global:
  scrape_interval: 1s
  scrape_timeout: 1s
scrape_configs:
  - job_name: faultline
    static_configs:
      - targets: ['127.0.0.1:$mine']
END
	prometheus --config.file="$tmp/prometheus.yml" \
		--storage.tsdb.path="$tmp/data" --log.level=warn \
		--web.listen-address="127.0.0.1:$its" >"$tmp/prometheus" 2>&1 &
	served="$served $!"
}

lacks=
command -v prometheus >/dev/null ||
	lacks="prometheus, which would scrape, is not installed"
case $("$stat" -p $$ --listen x 2>&1) in
*"built without"*) lacks="built without libmicrohttpd" ;;
esac
test -n "$lacks" || scrape_begin

# ------------------------------------------------- faults, cycles, system calls

cycles=5000
"$spin" $cycles >"$tmp/spin" &
pid=$!
running=$pid
wait_for cycled "$tmp/spin"
minor=$(sed -n 's/^minor faults of all \([0-9]*\)$/\1/p' "$tmp/spin")
near cycles "$(number $pid memories_released)" $cycles
near "page faults" "$(number $pid minor_faults)" "$minor"
stop $pid
running=

if ! command -v strace >/dev/null; then
	echo "  strace is not installed: system calls were not counted by it"
elif ! strace -o "$tmp/none" true 2>/dev/null; then
	echo "  nothing may be traced here: system calls were not counted"
elif test -n "$FL_SANITIZER_FLAGS"; then
	echo "  a sanitizer makes calls of its own: system calls were not counted"
else
	strace -f -e trace=ioctl -o "$tmp/trace" "$spin" $cycles >"$tmp/spin" &
	running=$!
	wait_for cycled "$tmp/spin"
	pid=$(sed -n 's/^pid \([0-9]*\)$/\1/p' "$tmp/spin")
	running="$running $pid"
	# PAGEMAP_SCAN, as the kernel's header numbers it; probes make some too.
	counted=$(number "$pid" scans)
	scans=$(grep -cE '0x66, 0x10|PAGEMAP_SCAN' "$tmp/trace")
	if test "$counted" -gt 0; then
		near "scans of pages" "$counted" "$scans"
	else
		echo "  this rung does not scan: strace counted nothing"
	fi
	# shellcheck disable=SC2086 # words
	stop $running
	running=
fi

# ------------------------------------------------------- what Prometheus has got

test -z "$lacks" || skipped "$lacks"
cat >"$tmp/ask.py" <<'EOF'
import json, sys, time, urllib.parse, urllib.request

base = "http://127.0.0.1:%s/api/v1/" % sys.argv[1]

def get(path):
    answer = json.load(urllib.request.urlopen(base + path, timeout=20))
    assert answer["status"] == "success", answer
    return answer["data"]

def ask(query):
    return get("query?query=" + urllib.parse.quote(query))["result"]

def values(query):
    return [[float(v) for _, v in row["values"]] for row in ask(query)]

# Ten scrapes that got an answer; a busy host may lose one to the time limit.
end = time.monotonic() + 120
scraped = []
while sum(scraped) < 10:
    assert time.monotonic() < end, "scraped %s in two minutes" % scraped
    time.sleep(0.5)
    try:
        scraped = (values('up{job="faultline"}[2m]') or [[]])[0]
    except OSError:
        pass  # it is starting
series = ask("faultline_memories_released_total")
assert len(series) == 1, series
labels = series[0]["metric"]
assert labels["pool"] == "the-pool" and labels["pid"] == sys.argv[2], labels
counts = values("faultline_memories_released_total[2m]")[0]
assert len(counts) >= 10 and counts == sorted(counts), counts
assert counts[-1] > counts[0] >= 1000, counts
names = ask('count({job="faultline",__name__=~"faultline_.*"})')
assert float(names[0]["value"][1]) > 100, names
kinds = []
for name in "faultline_memories_released", "faultline_memories_released_total":
    kinds += get("targets/metadata?metric=" + name)
assert [kind["type"] for kind in kinds] == ["counter"], kinds
print("  scraped %d times, %d of them good: %d to %d releases" %
      (len(scraped), sum(scraped), counts[0], counts[-1]))
EOF
timeout 180 $python "$tmp/ask.py" "$its" $load || {
	tail -n 5 "$tmp/prometheus" "$tmp/listen"
	failed "Prometheus did not get what uffd-stat serves"
}
# shellcheck disable=SC2086 # words
stop $served
served=
passed
