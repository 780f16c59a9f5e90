#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""count_calls.py - do the system calls that uffd-stat tells agree with strace's?

count_calls.py UFFD_STAT WORD PROGRAM [ARG...] runs the program under strace.
Each time the program prints the word alone, it waits for a line on standard
input: nothing happens in it then, and what uffd-stat tells of its pools is
compared with the trace so far. In the end the sums must be within two in a
hundred of each other.

Of a pool are the calls with an address within what the pool reserved, after its
making; no slot of a reservation is unmapped by munmap(). Where a
scan or a UFFDIO_WRITEPROTECT looks, strace does not read: all of the process are
counted, and nothing else in it makes any. Status 0, 1 after a sentence, 77: nothing may be traced.
"""
import json
import re
import subprocess
import sys
import tempfile

CALLS = "ioctl,mmap,munmap,mprotect,madvise"
SCAN = re.compile(r" ioctl\(\d+, (PAGEMAP_SCAN|_IOC\(_IOC_READ\|_IOC_WRITE, 0x66, 0x10)")
WATCH = re.compile(r" ioctl\(\d+, UFFDIO_WRITEPROTECT, ")
REGISTER = re.compile(r" ioctl\(\d+, UFFDIO_REGISTER, {range={start=(0x[0-9a-f]+), len=(0x[0-9a-f]+)")
MAPPING = re.compile(r" (?:mmap|mprotect|madvise)\((0x[0-9a-f]+), (\d+)")
UNMAPPED = re.compile(r" munmap\((0x[0-9a-f]+), (\d+)\)")
RESERVED = re.compile(r" mmap\(NULL, (\d+), PROT_NONE, .*\) = (0x[0-9a-f]+)$")


class Trace:
    """What strace wrote, call by call."""

    def __init__(self, path):
        self.file = open(path)
        self.scans, self.watches, self.at, self.reserved = 0, 0, [], []
        self.began = {}

    def read(self):
        for line in self.file:
            task = line.split(None, 1)[0]
            if line.endswith("<unfinished ...>\n"):
                self.began[task] = line[:-len(" <unfinished ...>\n")]
            elif " resumed>" in line:
                self.take(self.began.pop(task, task) +
                          line.split(" resumed>", 1)[1])
            else:
                self.take(line)

    def take(self, line):
        self.scans += bool(SCAN.search(line))
        self.watches += bool(WATCH.search(line))
        found = REGISTER.search(line) or MAPPING.search(line)
        if found:
            self.at.append((int(found[1], 16), int(found[2], 0)))
        found = UNMAPPED.search(line)
        if found:
            start, length = int(found[1], 16), int(found[2])
            self.reserved = [
                kept for kept in self.reserved
                if not start <= (kept[0] + kept[1]) // 2 < start + length]
        found = RESERVED.search(line)
        if found:
            start = int(found[2], 16)
            self.reserved.append((start, start + int(found[1]), len(self.at)))

    def count(self, sizes):
        """For each pool, the newest first: calls with an address, since it
        was reserved. uffd-stat shows no address, so a pool is known by its
        size, which may be larger for the sake of alignment."""
        left, counts = list(self.reserved), []
        for size in sizes:
            while left and not size <= left[-1][1] - left[-1][0] < 2 * size:
                left.pop()
            if not left:
                sys.exit("the trace has no reservation of %d bytes" % size)
            start, end, first = left.pop()
            # What is about all of the pool was its making.
            counts.append(sum(start <= at < end and 2 * length < size
                              for at, length in self.at[first:]))
        return counts


def near(what, told, counted):
    print("  %s: uffd-stat %d, strace %d" % (what, told, counted))
    if told < 100 or abs(told - counted) * 50 > counted:
        sys.exit("%s: %d and %d are further apart than 2 %%, or too few" %
                 (what, told, counted))


def main():
    stat, word, program = sys.argv[1], sys.argv[2], sys.argv[3:]
    if subprocess.run(["strace", "-o", "/dev/null", "true"],
                      stderr=subprocess.DEVNULL).returncode:
        print("nothing may be traced here")
        sys.exit(77)
    pools, calls = {}, {}
    with tempfile.NamedTemporaryFile() as file:
        child = subprocess.Popen(
            ["strace", "-f", "--seccomp-bpf", "-e", "trace=" + CALLS,
             "-e", "signal=none", "-o", file.name,
             # The one process that uffd-stat is to look at.
             "sh", "-c", 'echo "pid $$"; exec "$@"', "sh"] + program,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        trace = Trace(file.name)
        pid = child.stdout.readline().split()[1]
        for line in child.stdout:
            if line.strip() != word:
                continue
            told = json.loads(subprocess.check_output(
                [stat, "-p", pid, "--json"]))["processes"][0]["pools"]
            trace.read()
            told.sort(key=lambda pool: -pool["serial"])
            counts = trace.count([pool["numbers"]["address_space_bytes"]
                                  for pool in told])
            for pool, count in zip(told, counts):
                pools[pool["serial"]] = pool["numbers"]
                calls[pool["serial"]] = count
            child.stdin.write("\n")
            child.stdin.flush()
        if child.wait():
            sys.exit("%s fails" % program[0])
        trace.read()
    if not pools:
        sys.exit("the program had no pool")
    scans = sum(numbers["scans"] for numbers in pools.values())
    near("scans", scans, trace.scans)
    near("system calls",
         sum(numbers["system_calls"] for numbers in pools.values()),
         trace.scans + trace.watches + sum(calls.values()))


main()
