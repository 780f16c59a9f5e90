// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// modules.mjs SUITE PARSER OUT - every module of the .wast files in SUITE, and
// of those here, as bytes for reader.c.
//
// Two converters give them, and neither validates: the parser that
// fetch-parser.sh has put into PARSER, text by text ("jco"; what a text spells
// out in bytes is taken as it is, "bytes"), and wabt's wast2json, a file at a
// time, if it knows all of the file's syntax ("wabt"). What both can give is
// given twice: two encoders are two inputs.
//
// OUT.bin has the bytes, one module after the other. OUT.tsv has a line each:
//
//	valid | invalid | malformed | twin	what the file says of it
//	jco | bytes | wabt	where the bytes come from
//	FILE:LINE		where it stands, below SUITE
//	OFFSET LENGTH		of its bytes, two columns
//	TEXT			what the assertion expects, or "-"
//	TWIN			see below, or "-"
//
// Lines that begin otherwise have no bytes:
//
//	file		a file, and what became of it with wast2json
//	unconverted	a module of a file that no converter takes
//	text		malformed text of which there is no module to read
//	custom		an assertion about the contents of custom sections
//
// Twins. The reader steps over types and function bodies, so it must accept a
// module that is only wrong there. Such a module has a twin: a valid one that
// is the same in everything that the reader reads. For a module that is not
// valid, TWIN is where that stands, in the suite or else in twins*.wast. For
// one of those, it is how many modules need it.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

if (process.argv.length !== 5) {
	console.error('usage: modules.mjs SUITE PARSER OUT');
	process.exit(2);
}
const [suite, parserDir, out] = process.argv.slice(2);
const parser = await import(
	pathToFileURL(path.resolve(parserDir, 'vendor/wasm-tools.js')));
await parser.$init;

// ----------------------------------------------------------------- the forms
//
// Texts are strings with one character a byte, so that offsets are bytes and
// nothing is lost of what is no UTF-8.

// The end of blanks and comments at `at`.
function skipBlank(text, at) {
	for (;;) {
		if (/[ \t\r\n]/.test(text[at] ?? 'x')) {
			at++;
		} else if (text.startsWith(';;', at)) {
			while (at < text.length && !/[\r\n]/.test(text[at]))
				at++;
		} else if (text.startsWith('(;', at)) {
			let depth = 0;

			do {
				if (text.startsWith('(;', at))
					depth++, at += 2;
				else if (text.startsWith(';)', at))
					depth--, at += 2;
				else
					at++;
			} while (depth && at < text.length);
		} else {
			return at;
		}
	}
}

// An annotation may stand wherever a blank may.
function isAnnotation(text, item) {
	return item.items && text[item.start + 1] === '@';
}

// A form in parentheses has its items; a string, and any other word, has none.
function readItem(text, at) {
	const item = { start: at, end: at, items: null };

	if (text[at] === '(') {
		item.items = [];
		for (at = skipBlank(text, at + 1); text[at] !== ')';) {
			if (at >= text.length)
				throw new Error(`unbalanced at ${item.start}`);
			const inner = readItem(text, at);

			if (!isAnnotation(text, inner))
				item.items.push(inner);
			at = skipBlank(text, inner.end);
		}
		item.end = at + 1;
	} else if (text[at] === '"') {
		for (at++; text[at] !== '"'; at++) {
			if (text[at] === '\\')
				at++;
			if (at >= text.length)
				throw new Error(`open string at ${item.start}`);
		}
		item.end = at + 1;
	} else {
		while (at < text.length && !/[\s()";]/.test(text[at]))
			at++;
		// $"name"
		if (text[at] === '"')
			at = readItem(text, at).end;
		item.end = Math.max(at, item.start + 1);
	}
	return item;
}

function readForms(text) {
	const forms = [];

	for (let at = skipBlank(text, 0); at < text.length;) {
		const item = readItem(text, at);

		if (!isAnnotation(text, item))
			forms.push(item);
		at = skipBlank(text, item.end);
	}
	return forms;
}

const escapes = { n: '\n', t: '\t', r: '\r' };

function decodeString(literal) {
	return literal.slice(1, -1).replace(
		/\\(?:([0-9a-fA-F]{2})|u\{([0-9a-fA-F_]+)\}|(.))/gs,
		(all, hex, point, char) => {
			if (hex)
				return String.fromCharCode(parseInt(hex, 16));
			if (char)
				return escapes[char] ?? char;
			const code = parseInt(point.replaceAll('_', ''), 16);

			return Buffer.from(String.fromCodePoint(code))
				.toString('latin1');
		});
}

// ---------------------------------------------------------------- the records

const records = [];

function putRecord(kind, via, where, bytes, text) {
	records.push({ kind, via, where, bytes,
		text: (text || '-').replace(/\s+/g, ' ') });
}

// --------------------------------------------------------------- one module

// What stands after "(module": definition, an identifier, binary or quote.
function moduleHead(text, form) {
	const head = { rest: 1, definition: null, form: 'text' };
	const word = () => {
		const item = form.items[head.rest];

		return item && !item.items ? text.slice(item.start, item.end) :
			'';
	};

	if (word() === 'definition')
		head.definition = form.items[head.rest++];
	if (word().startsWith('$'))
		head.rest++;
	if (word() === 'binary' || word() === 'quote') {
		head.form = word();
		head.rest++;
	}
	return head;
}

function strings(text, form, from) {
	return form.items.slice(from)
		.filter((item) => text[item.start] === '"')
		.map((item) => decodeString(text.slice(item.start, item.end)));
}

// Gives the bytes or throws. The parser refuses characters that look like
// others; written as escapes, it takes them.
function parseText(source, mayRetry) {
	const decoder = new TextDecoder('utf-8', { fatal: true });
	const decoded = decoder.decode(Buffer.from(source, 'latin1'));

	try {
		return parser.tools.parse(decoded);
	} catch (error) {
		const plain = source.replace(/[\x80-\xff]/g, (byte) =>
			`\\${byte.charCodeAt(0).toString(16)}`);

		if (!mayRetry || plain === source)
			throw error;
		return parser.tools.parse(plain);
	}
}

function reason(error) {
	const text = String(error.payload ?? error.message ?? error);

	return /kind: (.*?)\}* *\)* *\}*$/s.exec(text)?.[1] ?? text;
}

function putModule(kind, where, text, form, expects) {
	const head = moduleHead(text, form);
	let source;

	if (head.form === 'binary') {
		putRecord(kind, 'bytes', where,
			Buffer.from(strings(text, form, head.rest).join(''),
				'latin1'), expects);
		return;
	}
	if (head.form === 'quote')
		source = strings(text, form, head.rest).join(' ');
	else if (head.definition)
		source = text.slice(form.start, head.definition.start) +
			text.slice(head.definition.end, form.end);
	else
		source = text.slice(form.start, form.end);
	try {
		const bytes = Buffer.from(
			parseText(source, kind !== 'malformed'));

		putRecord(kind, 'jco', where, bytes, expects);
	} catch (error) {
		if (kind === 'malformed')
			putRecord('text', 'jco', where, null, expects);
		else
			putRecord('unconverted', 'jco', where, null,
				reason(error));
	}
}

// ------------------------------------------------------------------ one file

const valid = new Set(['assert_unlinkable', 'assert_trap',
	'assert_uninstantiable', 'assert_exhaustion', 'assert_exception']);

function lineOf(text, at) {
	let line = 1;

	for (let i = text.indexOf('\n'); i >= 0 && i < at;
	     i = text.indexOf('\n', i + 1))
		line++;
	return line;
}

function nameOf(text, form) {
	return form.items?.length && !form.items[0].items ?
		text.slice(form.items[0].start, form.items[0].end) : '';
}

const commands = /^(module|register|invoke|get|assert_\w+|thread|wait)$/;

function putCommand(file, text, form, kind) {
	const name = nameOf(text, form);
	const where = `${file}:${lineOf(text, form.start)}`;
	const inner = form.items[1];
	const innerIsModule = inner?.items && nameOf(text, inner) === 'module';

	if (name === 'module') {
		const next = form.items[1];

		if (!next ||
		    text.slice(next.start, next.end) !== 'instance')
			putModule(kind, where, text, form);
	} else if (name === 'thread') {
		for (const item of form.items.slice(1)) {
			if (item.items)
				putCommand(file, text, item, kind);
		}
	} else if (innerIsModule) {
		const expects = strings(text, form, 2).join(' ');

		if (name === 'assert_invalid')
			putModule('invalid', where, text, inner, expects);
		else if (name === 'assert_malformed')
			putModule('malformed', where, text, inner, expects);
		else if (name === 'assert_malformed_custom' ||
			 name === 'assert_invalid_custom')
			putRecord('custom', 'jco', where, null, expects);
		else if (valid.has(name))
			putModule('valid', where, text, inner, expects);
		else
			throw new Error(`${where}: unknown command ${name}`);
	}
}

// Fields that stand in a file without a module around them are one.
function putFile(file, name, kind) {
	const text = fs.readFileSync(file, 'latin1');
	const forms = readForms(text);
	const fields = forms.filter((form) =>
		!commands.test(nameOf(text, form)));

	if (fields.length) {
		if (fields.length !== forms.length)
			throw new Error(`${name}: commands beside fields`);
		const whole = `(module ${text})`;

		putModule(kind, `${name}:1`, whole, readForms(whole)[0]);
		return;
	}
	for (const form of forms)
		putCommand(name, text, form, kind);
}

// --------------------------------------------------------------------- wabt

const wabtKinds = {
	assert_invalid: 'invalid',
	assert_malformed: 'malformed',
	assert_unlinkable: 'valid',
	assert_uninstantiable: 'valid',
};

// What wast2json said, or '' if it converted the file.
function putWabt(file, name, dir, moduleKind) {
	const json = path.join(dir, 'all.json');

	try {
		execFileSync('wast2json',
			['--enable-all', path.resolve(file), '-o', json],
			{ stdio: ['ignore', 'ignore', 'pipe'] });
	} catch (error) {
		if (error.code === 'ENOENT')
			throw error;
		return String(error.stderr).split('\n')[0]
			.replace(/^.*?: /, '') || String(error);
	}
	for (const command of JSON.parse(fs.readFileSync(json)).commands) {
		const kind = command.type === 'module' ? moduleKind :
			wabtKinds[command.type];

		if (!kind || !command.filename?.endsWith('.wasm'))
			continue;
		putRecord(kind, 'wabt', `${name}:${command.line}`,
			fs.readFileSync(path.join(dir, command.filename)),
			command.text);
	}
	return '';
}

function findFiles(dir) {
	return fs.readdirSync(path.join(suite, dir), { withFileTypes: true })
		.flatMap((entry) => {
			const name = path.join(dir, entry.name);

			return entry.isDirectory() ? findFiles(name) :
				name.endsWith('.wast') ? [name] : [];
		})
		.sort();
}

// -------------------------------------------------------------------- twins

const SECTION_CUSTOM = 0;
const SECTION_TYPE = 1;
const SECTION_FUNCTION = 3;
const SECTION_EXPORT = 7;
const SECTION_CODE = 10;

// An unsigned LEB128 and where it ends.
function readLeb(bytes, at) {
	let value = 0;
	let scale = 1;

	for (;;) {
		if (at >= bytes.length)
			throw new Error('cut off');
		const byte = bytes[at++];

		value += (byte & 0x7f) * scale;
		scale *= 128;
		if (byte < 0x80)
			return { value, at };
	}
}

// How much of a module is compared. What an assertion is about must be in it:
// of bytes, how they are written; of indices and names, how many functions
// and which exports there are; of types and operands, neither.
const BYTES = 0;
const NAMES = 1;
const TYPES = 2;

function levelOf(record) {
	if (record.kind === 'malformed')
		return BYTES;
	return /^(unknown|undeclared|duplicate)/.test(record.text) ?
		NAMES : TYPES;
}

// How many bytes the integers between bodies take.
function readCode(contents) {
	const count = readLeb(contents, 0);
	const widths = [count.at];
	let at = count.at;

	for (let i = 0; i < count.value; i++) {
		const size = readLeb(contents, at);

		widths.push(size.at - at);
		at = size.at + size.value;
	}
	if (at !== contents.length)
		throw new Error('no bodies of these sizes');
	return widths.join();
}

// One section, as a string: '' if the reader does not read it.
function readSection(id, sizeBytes, contents, level) {
	const code = id === SECTION_CODE ? readCode(contents) : '';
	const isSkipped = id === SECTION_TYPE || id === SECTION_CODE;

	if (level === BYTES)
		return `${sizeBytes}:` +
			(isSkipped ? code : contents.toString('hex'));
	if (isSkipped || id === SECTION_CUSTOM)
		return '';
	if (id === SECTION_FUNCTION) {
		const count = readLeb(contents, 0).value;

		return !count ? '' : level === TYPES ? 'some' : `${count}`;
	}
	return level === TYPES && id === SECTION_EXPORT ? '' :
		contents.toString('hex');
}

// What the reader reads of a module, as a string.
function readParts(bytes, level) {
	const parts = [bytes.subarray(0, 8).toString('hex')];

	if (bytes.length < 8)
		throw new Error('cut off');
	for (let at = 8; at < bytes.length;) {
		const id = bytes[at];
		const size = readLeb(bytes, at + 1);
		const end = size.at + size.value;

		if (end > bytes.length)
			throw new Error('cut off');
		const part = readSection(id, size.at - at,
			bytes.subarray(size.at, end), level);

		if (part)
			parts.push(`${id}=${part}`);
		at = end;
	}
	return parts.join(' ');
}

// Gives how many records need each module of twins*.wast.
function findTwins() {
	const byLevel = [BYTES, NAMES, TYPES].map((level) => {
		const twins = new Map();

		for (const kind of ['valid', 'twin']) {
			for (const record of records) {
				if (record.kind !== kind)
					continue;
				const parts = readParts(record.bytes, level);

				if (!twins.has(parts))
					twins.set(parts, record);
			}
		}
		return twins;
	});
	const needs = new Map();

	for (const record of records) {
		if (record.kind !== 'invalid' && record.kind !== 'malformed')
			continue;
		const level = levelOf(record);
		let parts;

		try {
			parts = readParts(record.bytes, level);
		} catch {
			continue;
		}
		const twin = byLevel[level].get(parts);

		record.twin = twin?.where;
		if (twin?.kind === 'twin')
			needs.set(twin.where, (needs.get(twin.where) ?? 0) + 1);
	}
	return needs;
}

// --------------------------------------------------------------------- main

const own = [['compact-imports.wast', 'valid'], ['twins.wast', 'twin'],
	['twins-3.0.wast', 'twin']];
const tmp = fs.mkdtempSync(path.join(os.tmpdir(), 'faultline-spec.'));

function putAll(file, name, kind) {
	const dir = fs.mkdtempSync(path.join(tmp, 'wabt.'));

	putFile(file, name, kind);
	putRecord('file', 'wabt', `${name}:0`, null,
		putWabt(file, name, dir, kind));
	fs.rmSync(dir, { recursive: true });
}

try {
	for (const file of findFiles('.'))
		putAll(path.join(suite, file), file, 'valid');
	for (const [name, kind] of own)
		putAll(fileURLToPath(new URL(name, import.meta.url)), name,
			kind);
} finally {
	fs.rmSync(tmp, { recursive: true, force: true });
}

const needs = findTwins();
let offset = 0;
const lines = records.map((record) => {
	const length = record.bytes?.length ?? 0;
	const twin = record.kind === 'twin' ? needs.get(record.where) ?? 0 :
		record.twin ?? '-';
	const line = [record.kind, record.via, record.where, offset, length,
		record.text, twin].join('\t');

	offset += length;
	return `${line}\n`;
});

fs.writeFileSync(`${out}.bin`, Buffer.concat(records.flatMap((record) =>
	record.bytes ? [record.bytes] : [])));
fs.writeFileSync(`${out}.tsv`, lines.join(''));
// The parser may have left something open.
process.exit(0);
