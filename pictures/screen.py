#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# screen.py - what a program draws on a terminal, as an SVG picture.
#
# Takes rows, columns, seconds, keys and a command; runs the command in a
# pseudo-terminal, gives it one key after another, and writes what is on the
# screen after so many seconds. Knows as much of a terminal as ncurses uses of an
# xterm in black and white. The command is then interrupted.

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from xml.sax.saxutils import escape

SEQUENCE = re.compile(rb"\x1b(?:\[([?>!]?)([0-9;]*)([@-~])|[()*+][0-9A-Za-z]|[=>78cDEHMNOZ]|\][^\x07]*\x07)")


class Screen:
    def __init__(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.cells = [[(" ", "")] * columns for _ in range(rows)]
        self.y = self.x = 0
        self.style = ""
        self.last = " "

    def put(self, char):
        if self.x >= self.columns:
            self.x, self.y = 0, min(self.y + 1, self.rows - 1)
        self.cells[self.y][self.x] = (char, self.style)
        self.x += 1
        self.last = char

    def erase(self, y, first, end):
        for x in range(first, min(end, self.columns)):
            self.cells[y][x] = (" ", "")

    def styles(self, numbers):
        for n in numbers or [0]:
            if n in (0, 22, 27):
                self.style = ""
            elif n in (1, 7):
                self.style = "b" if n == 1 else "r"

    def control(self, private, text, final):
        n = [int(p) if p else 0 for p in text.split(";")] if text else []
        one = max(n[0], 1) if n else 1
        if private or final in "hlrtn":
            return
        if final == "m":
            self.styles(n)
        elif final in "Hf":
            self.y = min(one, self.rows) - 1
            self.x = min(max(n[1], 1) if len(n) > 1 else 1, self.columns) - 1
        elif final == "d":
            self.y = min(one, self.rows) - 1
        elif final == "G":
            self.x = min(one, self.columns) - 1
        elif final in "AB":
            step = one if final == "B" else -one
            self.y = min(max(self.y + step, 0), self.rows - 1)
        elif final in "CD":
            step = one if final == "C" else -one
            self.x = min(max(self.x + step, 0), self.columns - 1)
        elif final in "P@":
            row = self.cells[self.y]
            blank = [(" ", "")] * min(one, self.columns - self.x)
            if final == "P":
                row[self.x:] = row[self.x + len(blank):] + blank
            else:
                row[self.x:] = blank + row[self.x:len(row) - len(blank)]
        elif final in "LM":
            del self.cells[self.rows - 1 if final == "L" else self.y]
            self.cells.insert(self.y if final == "L" else self.rows - 1,
                              [(" ", "")] * self.columns)
        elif final == "X":
            self.erase(self.y, self.x, self.x + one)
        elif final == "b":
            for _ in range(one):
                self.put(self.last)
        elif final == "K":
            mode = n[0] if n else 0
            self.erase(self.y, 0 if mode else self.x,
                       self.x + 1 if mode == 1 else self.columns)
        elif final == "J":
            mode = n[0] if n else 0
            if mode == 0:
                self.erase(self.y, self.x, self.columns)
            for y in range(0 if mode == 2 else self.y + 1, self.rows):
                self.erase(y, 0, self.columns)
        else:
            sys.exit("screen.py: does not know ESC [ %s %s" % (text, final))

    def feed(self, data):
        at = 0
        while at < len(data):
            byte = data[at]
            if byte == 0x1b:
                match = SEQUENCE.match(data, at)
                if not match:
                    return data[at:]
                if match.group(3):
                    self.control(match.group(1).decode(),
                                 match.group(2).decode(),
                                 match.group(3).decode())
                at = match.end()
                continue
            if byte == 13:
                self.x = 0
            elif byte == 10:
                self.y = min(self.y + 1, self.rows - 1)
            elif byte == 8:
                self.x = max(self.x - 1, 0)
            elif byte >= 32:
                self.put(chr(byte))
            at += 1
        return b""

    def svg(self):
        wide, high = 7.25, 16
        width, height = self.columns * wide + 16, self.rows * high + 16
        out = ['<!-- SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception -->',
               '<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d">'
               % (width, height, width, height),
               '<style>text{font:12px monospace;fill:#d0d7de;white-space:pre}'
               '.b{font-weight:bold}.r{fill:#0d1117}</style>',
               '<rect width="100%" height="100%" rx="6" fill="#0d1117"/>']
        for y, row in enumerate(self.cells):
            x = 0
            while x < self.columns:
                end = x
                while end < self.columns and row[end][1] == row[x][1]:
                    end += 1
                text = "".join(cell[0] for cell in row[x:end])
                left, top = 8 + x * wide, 8 + y * high
                if row[x][1] == "r":
                    out.append('<rect x="%.6g" y="%g" width="%.6g" height="%d" fill="#d0d7de"/>'
                               % (left, top, (end - x) * wide, high))
                if text.strip():
                    text = text.rstrip()
                    out.append('<text class="%s" x="%.6g" y="%g" textLength="%.6g" xml:space="preserve">%s</text>'
                               % (row[x][1] or "t", left, top + 12,
                                  len(text) * wide, escape(text)))
                x = end
        return "\n".join(out + ["</svg>"]) + "\n"


def main():
    if len(sys.argv) < 6:
        sys.exit("usage: screen.py ROWS COLUMNS SECONDS KEYS COMMAND...")
    rows, columns = int(sys.argv[1]), int(sys.argv[2])
    seconds, keys = float(sys.argv[3]), sys.argv[4].encode()
    screen = Screen(rows, columns)
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execvp(sys.argv[5], sys.argv[5:])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ,
                struct.pack("HHHH", rows, columns, 0, 0))
    left, end = b"", time.time() + seconds
    next_key = time.time() + seconds / 3
    while time.time() < end:
        if keys and time.time() >= next_key:
            os.write(terminal, keys[:1])
            keys = keys[1:]
            next_key += 0.2
        if select.select([terminal], [], [], 0.1)[0]:
            left = screen.feed(left + os.read(terminal, 65536))
    os.kill(pid, signal.SIGINT)
    os.waitpid(pid, 0)
    sys.stdout.write(screen.svg())


main()
