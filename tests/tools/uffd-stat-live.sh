#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# uffd-stat-live.sh - the two forms of uffd-stat that stay: --top in a
# pseudo-terminal, and --listen asked by a real HTTP client.
#
# --top takes keys and changes of the window, down to one that has no room, and
# gives the terminal back as it was after q, SIGINT and SIGTERM. --listen answers
# ten scrapes, which promtool reads if it is there, and refuses all but GET of
# /metrics.

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
test -x $python || skipped "$python, which drives the terminal, is not there"

"$spin" 1000 >"$tmp/spin" 2>&1 &
pid=$!
listener=
trap 'kill -9 $pid $listener 2>/dev/null' EXIT
i=0
while ! grep -q cycled "$tmp/spin"; do
	i=$((i + 1))
	test "$i" -lt 400 || failed "the program does not cycle: $(cat "$tmp/spin")"
	sleep 0.1
done

cat >"$tmp/drive.py" <<'EOF'
import fcntl, os, pty, select, signal, struct, sys, termios, time

# Seconds in which a program has answered, however busy the host.
PATIENCE = 40

def size(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ,
                struct.pack("HHHH", rows, columns, 0, 0))

# What is drawn, until a text is there or the time is over.
def read(fd, seconds, text=None):
    seen, end = b"", time.monotonic() + seconds
    while time.monotonic() < end and (text is None or text not in seen):
        if select.select([fd], [], [], 0.05)[0]:
            try:
                seen += os.read(fd, 65536)
            except OSError:
                break
    return seen

def drive(tool, target, end):
    master, slave = pty.openpty()
    size(master, 24, 80)
    before = termios.tcgetattr(slave)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for fd in range(3):
            os.dup2(slave, fd)
        os.environ["TERM"] = "xterm"
        os.execv(tool, [tool, "--top", "-p", target, "1"])
    assert b"the-pool" in read(master, PATIENCE, b"the-pool"), "no pool drawn"
    assert termios.tcgetattr(slave) != before, "the terminal is as it was"
    size(master, 40, 120)
    os.kill(pid, signal.SIGWINCH)
    assert b"the-pool" in read(master, PATIENCE, b"the-pool"), "not drawn anew"
    for key in b"sss":
        os.write(master, bytes([key]))
        read(master, 0.1)
    os.write(master, b"m")
    drawn = read(master, PATIENCE, b"watched")
    # What is drawn may come in pieces.
    if b"P" not in drawn:
        drawn += read(master, PATIENCE, b"P")
    assert b"slot 0 of pool" in drawn and b"P" in drawn, "no page map"
    os.write(master, b">")
    assert b"no fixed place" not in read(master, 0.3), "no second slot"
    for key in b"<m":
        os.write(master, bytes([key]))
        read(master, 0.1)
    for rows, columns in ((3, 10), (1, 1), (24, 80)):
        size(master, rows, columns)
        os.kill(pid, signal.SIGWINCH)
        read(master, 0.3)
    os.write(master, b"\r")
    read(master, 0.3)
    assert os.waitpid(pid, os.WNOHANG) == (0, 0), "ended by itself"
    if end is None:
        os.write(master, b"q")
    else:
        os.kill(pid, end)
    left = read(master, PATIENCE, b"\x1b[?1049l")
    assert b"\x1b[?1049l" in left, "the screen is not given back"
    ended = os.waitpid(pid, 0)[1]
    assert os.WIFEXITED(ended) and os.WEXITSTATUS(ended) == 0, ended
    assert termios.tcgetattr(slave) == before, "the terminal is changed"
    os.close(master)
    os.close(slave)

# The terminal goes: so does the program, whatever becomes of the SIGHUP.
def hang_up(tool, target):
    pid, master = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execv(tool, [tool, "--top", "-p", target, "1"])
    assert b"the-pool" in read(master, PATIENCE, b"the-pool"), "no pool drawn"
    os.close(master)
    end = time.monotonic() + PATIENCE
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        assert time.monotonic() < end, "goes on without a terminal"
        time.sleep(0.05)

hang_up(sys.argv[1], sys.argv[2])
for end in (None, signal.SIGINT, signal.SIGTERM):
    drive(sys.argv[1], sys.argv[2], end)
EOF
timeout 60 "$stat" --top -p $pid </dev/null >"$tmp/none" 2>&1
status=$?
test $status -eq 1 || failed "--top without a terminal: exit status $status"
if grep -q 'needs a terminal' "$tmp/none"; then
	timeout 200 $python "$tmp/drive.py" "$stat" $pid ||
		failed "--top does not do what is asked"
else
	echo "  built without ncurses: --top was not driven"
fi

for bad in 127.0.0.1: 127.0.0.1:0 127.0.0.1:65536 127.0.0.1:x 192.0.2.1:9 x; do
	timeout 40 "$stat" --listen $bad >"$tmp/bad" 2>&1
	test $? -eq 1 || failed "--listen $bad is taken"
done
# One that is free; whoever takes it meanwhile is told by --listen.
listen_begin()
{
	port=$($python -c 'import socket
print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
	"$stat" -p $pid --listen 127.0.0.1:$port >"$tmp/listen" 2>&1 &
	listener=$!
}
listen_begin
i=0
while ! grep -q serving "$tmp/listen"; do
	if grep -q 'built without' "$tmp/listen"; then
		echo "  built without libmicrohttpd: --listen was not asked"
		passed
	fi
	i=$((i + 1))
	test "$i" -lt 400 || failed "--listen: $(cat "$tmp/listen")"
	if grep -q 'in use' "$tmp/listen"; then
		wait $listener
		listen_begin
	fi
	sleep 0.1
done
cat >"$tmp/ask.py" <<'EOF'
import http.client, sys

def ask(method, path):
    link = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=40)
    link.request(method, path)
    answer = link.getresponse()
    return answer.status, answer.getheader("Content-Type"), answer.read()

for i in range(10):
    status, form, text = ask("GET", "/metrics")
    assert status == 200 and form.startswith("text/plain; version=0.0.4"), form
    assert b'pool="the-pool"' in text
    assert b"faultline_memories_acquired_total{" in text
for method, path in (("GET", "/"), ("POST", "/metrics"), ("GET", "/metricsx")):
    status = ask(method, path)[0]
    assert status in (404, 405), (method, path, status)
sys.stdout.buffer.write(text)
EOF
timeout 120 $python "$tmp/ask.py" $port >"$tmp/scraped" ||
	failed "--listen does not answer as it should"
if command -v promtool >/dev/null; then
	promtool check metrics <"$tmp/scraped" || failed "promtool complains"
else
	echo "  promtool is not installed: the text was not checked by it"
fi
kill -TERM $listener
wait $listener
status=$?
listener=
test $status -eq 0 || test $status -eq 143 ||
	failed "--listen ends with $status"
passed
