// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// run.mjs - the specification's testsuite through wasm2c, on its own runtime
// and on a Faultline pool.
//
//	node run.mjs SUITE OUT
//
// SUITE is the testsuite as fetch.sh leaves it, OUT a directory for everything
// that is made. From the environment: WAST2JSON and WASM2C of wabt 1.0.32, CC,
// WASM_IMAGE (the tool, for the data-free modules), CPPFLAGS for run*.c,
// POOL_LIBS and STOCK_LIBS to link, FAULTLINE_JOBS.
//
// The set: every file of wasm-v2, proposals/reference-types and
// proposals/bulk-memory whose text has a form of memories, tables, data or
// elements, "(memory ...)", "(memory.copy ...)" and so on, and that wast2json
// converts. The first is seen by a regular expression over the text, the
// second by trying; a file that is not converted is skipped and says why.
//
// A file becomes a list of steps in C (run.h), linked twice with the same
// modules: as wasm2c translates them, on wasm-rt; and data-free, on a pool,
// through the adapter. The second program is then run once for each rung.
// A module is translated and compiled once, whatever files have it: its name
// is the SHA-256 of its bytes and of the modules that it imports from.
//
// What an assertion counts as:
// - stock wasm2c passes it, and Faultline on this rung: passed;
// - stock wasm2c passes it and Faultline does not: failed;
// - stock wasm2c does not pass it: listed with what stock said, not counted.
// assert_invalid and assert_malformed are the reader's test, assert_unlinkable
// is beyond wasm2c, which leaves linking to C and checks no types: skipped.
//
// Ends with "N passed, N failed, N skipped", and with 0 if nothing failed.

import { createHash } from "node:crypto";
import { execFile } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const FOLDERS = ["wasm-v2", "proposals/reference-types",
	"proposals/bulk-memory"];
const BELONGS = /\(\s*(memory|table|data|elem)\b/;
const RUNGS = [
	["all", ""],
	["no userfaultfd", "userfaultfd"],
	["no pagemap-scan", "pagemap-scan"],
	["no linux", "linux"],
];
const LETTERS = { i32: "i", i64: "j", f32: "f", f64: "d", funcref: "r",
	externref: "e" };
const CFLAGS = ["-O0", "-w"];
// A program has seconds of work; one that hangs must not hold up the rest.
const LIMIT_MS = 60000;
// As in run.h, where arguments and results have as much room each.
const MAX_VALUES = 32;
const MAX_IMPORTS = 16;
const NOT_OURS = {
	assert_invalid: "is the reader's test",
	assert_malformed: "is the reader's test",
	assert_unlinkable: "wasm2c leaves linking to C and checks no types",
};

const env = (name, value) => process.env[name] || value;
const words = (text) => text.split(/\s+/).filter((word) => word);
const CC = words(env("CC", "cc"));
const [, , suite, out] = process.argv;
if (!out) {
	console.error("usage: node run.mjs SUITE OUT");
	process.exit(2);
}

// ------------------------------------------------------------------ processes

const jobs = Number(env("FAULTLINE_JOBS", os.cpus().length));
let running = 0;
const waiting = [];

// At most as many processes at once as there are jobs.
async function run(command, args, options = {}) {
	if (running >= jobs)
		await new Promise((resolve) => waiting.push(resolve));
	else
		running++;
	try {
		return await new Promise((resolve) => {
			execFile(command, args, { maxBuffer: 1 << 28,
				timeout: LIMIT_MS, killSignal: "SIGKILL",
				...options }, (error, stdout, stderr) =>
				resolve({ error, stdout, stderr }));
		});
	} finally {
		if (waiting.length)
			waiting.shift()();
		else
			running--;
	}
}

function said(result) {
	const text = result.stderr || result.stdout || String(result.error);
	const lines = text.split("\n");
	return (lines.find((one) => /error|undefined/.test(one)) || lines[0] ||
		"no message").trim();
}

async function must(command, args) {
	const result = await run(command, args);
	if (result.error)
		throw new Error(`${[command, ...args].join(" ")}: ` +
			result.stderr + String(result.error));
}

const made = new Map();

// make() once for each key, also when many ask at the same time.
function once(key, make) {
	if (!made.has(key))
		made.set(key, make());
	return made.get(key);
}

// Written beside and renamed, so that an interrupted run leaves no half file.
function write(file, text) {
	fs.writeFileSync(`${file}.new`, text);
	fs.renameSync(`${file}.new`, file);
}

async function compile(from, to, flags) {
	if (fs.existsSync(to))
		return null;
	const result = await run(CC[0], [...CC.slice(1), ...flags, "-c", from,
		"-o", `${to}.new`]);
	if (result.error)
		return said(result);
	fs.renameSync(`${to}.new`, to);
	return null;
}

const sha = (...parts) => {
	const hash = createHash("sha256");
	for (const part of parts)
		hash.update(part).update("\0");
	return hash.digest("hex").slice(0, 16);
};

// -------------------------------------------------------------------- modules

// wasm2c writes letters, digits and _ as they are, other bytes as Z and two
// hexadecimal digits.
const mangle = (name) => [...Buffer.from(name)].map((byte) => {
	const char = String.fromCharCode(byte);
	return /[A-Ya-z0-9_]/.test(char) ? char :
		"Z" + byte.toString(16).toUpperCase().padStart(2, "0");
}).join("");

// In the struct of a module: what it imports that is no function.
const IMPORTED = new RegExp("/\\* import: .*\\n\\s*(\\w+) " +
	"\\*Z_((?:(?!Z_)\\w)+)Z_(\\w*);", "g");

// The C of a module under a name that stands for any; with its header.
const translate = (wasm) => once(`translate ${wasm}`, async () => {
	const base = wasm.replace(/\.wasm$/, "");
	const result = await run(env("WASM2C", "wasm2c"),
		["-n", "modself", wasm, "-o", `${base}.c`]);
	if (result.error)
		return { refused: `wasm2c: ${said(result)}` };
	const header = fs.readFileSync(`${base}.h`, "utf8");
	const params = /Z_modself_instantiate\(([^)]*)\)/.exec(header)[1];
	return {
		header,
		source: fs.readFileSync(`${base}.c`, "utf8"),
		file: `${path.basename(base)}.h`,
		// Mangled names of the modules that this one imports from.
		from: [...params.matchAll(/struct Z_(\w+)_instance_t\*/g)]
			.map((match) => match[1]),
		// Its imported memory, tables and globals, as fields.
		imports: [...header.matchAll(IMPORTED)].map(
			([, type, module, name]) => ({ type, module, name })),
		results: new Map([...header.matchAll(
			/^struct (wasm_multi_\w+) Z_modselfZ_(\w*)\(/gm)]
			.map(([, type, name]) => [name, type])),
	};
});

function renamed(text, name, translated, providers) {
	text = text.replaceAll(/\bZ_modself(?=Z_|_)/g, `Z_${name}`)
		.replaceAll(/\b\w+_H_GENERATED_/g, `${name}_H_GENERATED_`)
		.replaceAll(`"${translated.file}"`, `"${name}.h"`);
	translated.from.forEach((module, i) => {
		const its = new RegExp(
			`\\bZ_${module}(?=Z_|_instance_t\\b)`, "g");
		if (providers[i])
			text = text.replaceAll(its, `Z_${providers[i].name}`);
	});
	return text;
}

// A module with the ones it imports from, compiled in both forms. providers[i]
// is the module behind translated.from[i], null for spectest.
const build = (wasm, translated, providers) => {
	const bytes = fs.readFileSync(wasm);
	const name = "s" + sha(bytes, ...providers.map((one) =>
		one ? one.name : ""));
	return once(`build ${name}`, async () => {
		const base = `${out}/modules/${name}`;
		const module = { name, translated, providers,
			path: `${base}.wasm`, whole: `${base}.o`,
			free: `${base}.o` };
		const text = (form, part) =>
			renamed(form[part], name, form, providers);
		const one = async (form, object) => {
			const source = object.replace(/\.o$/, ".c");
			const header = text(form, "header");
			if (form === translated)
				write(`${base}.h`, header);
			else if (header !== text(translated, "header"))
				return "data-free, it has another interface";
			if (!fs.existsSync(object))
				write(source, text(form, "source"));
			return compile(source, object, CFLAGS);
		};
		fs.copyFileSync(wasm, module.path);
		module.refused = await one(translated, module.whole);
		const free = wasm.replace(/\.wasm$/, "-free.wasm");
		await once(free, () => must(env("WASM_IMAGE", "wasm-image"),
			["data-free", wasm, free]));
		if (!module.refused && !fs.readFileSync(free).equals(bytes)) {
			module.free = `${base}-${sha(fs.readFileSync(free))}.o`;
			module.refused = await one(await translate(free),
				module.free);
		}
		return module;
	});
};

// ---------------------------------------------------------- from JSON to steps

function value(json) {
	const letter = LETTERS[json.type];
	if (!letter)
		throw new Error(`a value of type ${json.type}`);
	const text = json.value;
	if (text === undefined)
		return [letter, "MATCH_NOT_NULL", "0"];
	if (text === "null")
		return [letter, "MATCH_NULL", "0"];
	if (text === "nan:canonical")
		return [letter, "MATCH_NAN_CANONICAL", "0"];
	if (text === "nan:arithmetic")
		return [letter, "MATCH_NAN_ARITHMETIC", "0"];
	if (letter === "r" || !/^[0-9]+$/.test(text))
		throw new Error(`the value ${json.type} ${text}`);
	return [letter, "MATCH_BITS", `UINT64_C(${text})`];
}

// The words of an expected trap say less than those of wasm-rt, or more.
const TRAPS = [
	[/^out of bounds memory/, "OOB", "'m'"],
	[/^out of bounds table/, "OOB", "'t'"],
	[/^out of bounds/, "OOB", "0"],
	[/^(undefined|uninitialized)( element.*)?$/, "CALL_INDIRECT", "0"],
	[/^indirect call( type mismatch)?$/, "CALL_INDIRECT", "0"],
	[/^integer overflow$/, "INT_OVERFLOW", "0"],
	[/^integer divide by zero$/, "DIV_BY_ZERO", "0"],
	[/^invalid conversion to integer$/, "INVALID_CONVERSION", "0"],
	[/^unreachable$/, "UNREACHABLE", "0"],
	[/^call stack exhausted$/, "EXHAUSTION", "0"],
];

function trap(text) {
	const known = TRAPS.find(([pattern]) => pattern.test(text));
	if (!known)
		throw new Error(`the trap "${text}"`);
	return { trap: `WASM_RT_TRAP_${known[1]}`, out_of: known[2] };
}

// Plays the commands of a file through names and registrations, and leaves in
// file.steps what the program is to do, in file.skips what it cannot.
class Reader {
	constructor(file) {
		this.file = file;
		this.named = new Map();
		this.registered = new Map();
		this.slots = [];
		this.current = null;
	}

	skip(line, why) {
		this.file.skips.push({ line, why });
	}

	// The slot of a new instance, null if it cannot be made.
	async instance(command) {
		const wasm = `${this.file.dir}/${command.filename}`;
		const translated = await translate(wasm);
		if (translated.refused) {
			this.skip(command.line, translated.refused);
			return null;
		}
		const imports = translated.from.map((module) =>
			module === "spectest" ? null :
				this.registered.get(module));
		if (imports.length > MAX_IMPORTS)
			throw new Error("imports from too many modules");
		const missing = imports.indexOf(undefined);
		if (missing >= 0) {
			this.skip(command.line, "imports from " +
				`"${translated.from[missing]}", not there`);
			return null;
		}
		const module = await build(wasm, translated,
			imports.map((one) => one && one.module));
		if (module.refused) {
			this.skip(command.line, module.refused);
			return null;
		}
		const slot = { idx: this.slots.length, module, imports,
			line: command.line, last: this.file.steps.length };
		this.slots.push(slot);
		// Its functions may get into what it imports, and stay there.
		slot.stays = imports.some((one) => one) ||
			translated.imports.some((one) =>
				/table/.test(one.type));
		return slot;
	}

	call(command, kind, more) {
		const action = command.action;
		const slot = action.module ? this.named.get(action.module) :
			this.current;
		if (!slot) {
			this.skip(command.line, "its module was skipped");
			return;
		}
		const args = (action.args || []).map(value);
		const results = (command.expected || []).map(value);
		if (Math.max(args.length, results.length) > MAX_VALUES)
			throw new Error("more values than a call has room for");
		slot.last = this.file.steps.length;
		this.file.steps.push({ kind, line: command.line, slot,
			is_get: action.type === "get", field: action.field,
			args, results, ...more });
	}

	async command(command) {
		const none = { trap: "WASM_RT_TRAP_NONE", out_of: "0" };
		switch (command.type) {
		case "module":
			this.current = await this.instance(command);
			if (command.name)
				this.named.set(command.name, this.current);
			if (this.current)
				this.file.steps.push({ kind: "MODULE",
					line: command.line, slot: this.current,
					...none });
			break;
		case "assert_uninstantiable": {
			const slot = await this.instance(command);
			if (slot)
				this.file.steps.push({ kind: "UNINSTANTIABLE",
					line: command.line, slot,
					...trap(command.text) });
			break;
		}
		case "register": {
			const slot = command.name ?
				this.named.get(command.name) : this.current;
			if (slot)
				slot.stays = true;
			this.registered.set(mangle(command.as),
				slot || undefined);
			break;
		}
		case "action":
			this.call(command, "ACTION", none);
			break;
		case "assert_return":
			this.call(command, "RETURN", none);
			break;
		case "assert_trap":
		case "assert_exhaustion":
			this.call(command, "TRAP", trap(command.text));
			break;
		default:
			if (!NOT_OURS[command.type])
				throw new Error(`the command ${command.type}`);
			this.file.not_ours[command.type] =
				(this.file.not_ours[command.type] || 0) + 1;
		}
	}

	// An instance ends as soon as nothing needs it, so that the next one
	// gets its slots; the others at the end, the last one first.
	free() {
		const steps = [];
		const end = (slot) => ({ kind: "FREE", line: slot.line, slot,
			trap: "WASM_RT_TRAP_NONE", out_of: "0" });
		let live = 0;
		this.file.live_max = 0;
		this.file.steps.forEach((step, i) => {
			steps.push(step);
			if (/MODULE|UNINSTANTIABLE/.test(step.kind))
				this.file.live_max = Math.max(++live,
					this.file.live_max);
			if (step.slot.stays || step.slot.last !== i)
				return;
			steps.push(end(step.slot));
			live--;
		});
		steps.push(...this.slots.filter((slot) => slot.stays).reverse()
			.map(end));
		this.file.steps = steps;
		this.file.slot_count = this.slots.length;
	}
}

// ------------------------------------------------------------ from steps to C

function module_c(module) {
	const { name, translated, providers } = module;
	const from = new Map(translated.from.map((one, i) => [one, i]));
	const accessor = (one) => `Z_${providers[from.get(one.module)]?.name ||
		"spectest"}Z_${one.name}(imports[${from.get(one.module)}])`;
	const memory = translated.imports.find((one) =>
		one.type === "wasm_rt_memory_t");
	const globals = translated.imports.filter((one) =>
		!/^wasm_rt_(memory|.*_table)_t$/.test(one.type));
	// No offset of a segment is a reference; those stay 0.
	const read = (one, i) => /^wasm_rt_/.test(one.type) ? "" :
		`	memcpy(&values[${i}], ${accessor(one)}, ` +
			`sizeof(${one.type}));\n`;
	return `
static void instantiate_${name}(void *self, void *const *imports)
{
	Z_${name}_instantiate(${["self", ...translated.from.map((one, i) =>
		`imports[${i}]`)].join(", ")});
}
static void free_${name}(void *self)
{
	Z_${name}_free(self);
}
static wasm_rt_memory_t *memory_${name}(void *const *imports)
{
	return ${memory ? accessor(memory) : "NULL"};
}
static void globals_${name}(void *const *imports, uint64_t *values)
{
${globals.map(read).join("")}}
static const struct module module_${name} = {
	${JSON.stringify(module.path)}, sizeof(Z_${name}_instance_t),
	Z_${name}_init_module, instantiate_${name}, free_${name},
	memory_${name}, globals_${name}, ${globals.length},
};
`;
}

function call_c(id, step) {
	const { name, translated } = step.slot.module;
	const field = mangle(step.field);
	const letters = step.results.map(([letter]) => letter);
	const args = ["self", ...step.args.map(([letter], i) =>
		`args[${i}].${letter}`)].join(", ");
	const call = `Z_${name}Z_${field}(${step.is_get ? "self" : args})`;
	let body;
	if (step.is_get)
		body = `	results[0].${letters[0]} = *${call};`;
	else if (translated.results.has(field))
		body = `	struct ${translated.results.get(field)} all =
		${call};
${letters.map((letter, i) =>
	`	results[${i}].${letter} = all.${letter}${i};`).join("\n")}`;
	else if (letters.length)
		body = `	results[0].${letters[0]} = ${call};`;
	else
		body = `	${call};`;
	return `static void ${id}(void *self, const union raw *args,
		union raw *results)
{
${body}
}
`;
}

const values_c = (values) => values.length ? `(const struct value[]){ ${
	values.map(([letter, match, bits]) =>
		`{ '${letter}', ${match}, ${bits} }`).join(", ")} }` : "NULL";

function file_c(file) {
	const modules = new Set(), calls = new Map();
	const rows = file.steps.map((step) => {
		const { module, imports, idx } = step.slot;
		let call = "NULL", from = "NULL", self = "NULL", count = 0;
		for (const one of [...module.providers, module])
			if (one)
				modules.add(one);
		if (step.field !== undefined) {
			const key = JSON.stringify([module.name, step.is_get,
				step.field]);
			if (!calls.has(key)) {
				const id = `call_${calls.size}`;
				calls.set(key, { id, text: call_c(id, step) });
			}
			call = calls.get(key).id;
		} else {
			self = `&module_${module.name}`;
			count = imports.length;
			if (count)
				from = `(const int[]){ ${imports.map((one) =>
					one ? one.idx : "SPECTEST")} }`;
		}
		const args = step.args || [], results = step.results || [];
		const fields = [step.line, `STEP_${step.kind}`, idx, self, from,
			count, args.length, results.length, call,
			values_c(args), values_c(results), step.trap,
			step.out_of];
		return `	{ ${fields.join(", ")} },\n`;
	});
	file.modules = [...modules];
	return `#include <string.h>
#include "run.h"
${file.modules.map(({ name }) => `#include "${name}.h"\n`).join("")}
${file.modules.map(module_c).join("")}
${[...calls.values()].map(({ text }) => text).join("")}
static const struct step steps[] = {
${rows.join("")}};
const struct file file = { steps, ${rows.length}, ${file.slot_count}, ${
	file.live_max} };
`;
}

// ---------------------------------------------------------------------- a file

async function convert(file) {
	fs.rmSync(file.dir, { recursive: true, force: true });
	fs.mkdirSync(file.dir, { recursive: true });
	const json = `${file.dir}/file.json`;
	const result = await run(env("WAST2JSON", "wast2json"),
		[path.join(suite, file.name), "-o", json]);
	if (!result.error)
		return JSON.parse(fs.readFileSync(json, "utf8"));
	file.unconverted = said(result).replace(/^.*\.wast:/, "line ");
	return null;
}

async function link(file, form, libs) {
	const program = `${file.dir}/${form}`;
	const objects = [...new Set(file.modules.map((module) =>
		form === "pool" ? module.free : module.whole))];
	const result = await run(CC[0], [...CC.slice(1), "-o", program,
		`${file.dir}/file.o`, `${out}/run.o`, `${out}/run_${form}.o`,
		...objects, ...words(libs)]);
	if (result.error)
		throw new Error(`${file.name}: ${said(result)}`);
	return program;
}

const SAID = /^([0-9]+) ([0-9]+) (ok|failed)(?: (.*))?$/;

// What the program said: the rung, and for each round and line (there may be
// several steps in one line) what was wrong.
async function play(program, disabled) {
	const result = await run(program, [], { env: { ...process.env,
		FAULTLINE_DISABLE: [env("FAULTLINE_DISABLE", ""), disabled]
			.filter((names) => names).join(",") } });
	const said = { on: "nothing", rounds: [], end: null };
	for (const line of result.stdout.split("\n")) {
		const words = SAID.exec(line);
		if (words) {
			const lines = said.rounds[words[1]] ||= new Map();
			const all = lines.get(Number(words[2])) || [];
			all.push(words[3] === "ok" ? null : words[4]);
			lines.set(Number(words[2]), all);
		} else if (line.startsWith("on ")) {
			said.on = line.slice(3);
		} else if (line === "end") {
			said.end = "";
		} else if (line) {
			said.noise = line;
		}
	}
	if (result.error)
		said.end = said.noise || (result.error.killed ?
			`the program did not end within ${LIMIT_MS / 1000} s` :
			result.error.signal ?
				`the program died of ${result.error.signal}` :
				`the program ended with ${result.error.code}`);
	else if (said.end === null)
		said.end = "the program ended early";
	return said;
}

// What each line's steps came to, over all rounds: "" is good.
function verdicts(file, said) {
	const wanted = new Map();
	for (const { kind, line } of file.steps)
		if (kind !== "FREE")
			wanted.set(line, (wanted.get(line) || 0) + 1);
	const verdict = new Map();
	const rounds = said.rounds.length ? said.rounds : [new Map()];
	for (const [line, count] of wanted) {
		let wrong = "";
		rounds.forEach((round, i) => {
			const all = round.get(line) || [];
			const bad = all.find((one) => one !== null);
			if (wrong)
				return;
			if (bad !== undefined)
				wrong = rounds.length > 1 ?
					`${bad} (round ${i + 1})` : bad;
			else if (all.length !== count)
				wrong = `did not run: ${said.end ||
					"no reason"}`;
		});
		verdict.set(line, wrong);
	}
	return { verdict, wanted };
}

async function do_file(file) {
	const json = await convert(file);
	if (!json)
		return;
	const reader = new Reader(file);
	for (const command of json.commands) {
		try {
			await reader.command(command);
		} catch (error) {
			throw new Error(`${file.name}:${command.line}: ` +
				`${error.message}`);
		}
	}
	reader.free();
	const source = `${file.dir}/file.c`;
	write(source, file_c(file));
	const wrong = await compile(source, `${file.dir}/file.o`,
		[...CFLAGS, `-I${HERE}`, `-I${out}/modules`]);
	if (wrong)
		throw new Error(`${file.name}: ${wrong}`);
	const stock = await link(file, "stock", env("STOCK_LIBS", ""));
	const pool = await link(file, "pool", env("POOL_LIBS", ""));
	file.stock = await play(stock, "");
	file.runs = await Promise.all(RUNGS.map(([, disabled]) =>
		play(pool, disabled)));
}

// -------------------------------------------------------------------- the sum

const total = { passed: 0, failed: 0, skipped: 0 };
const listed = [], failures = [], skips = [], not_ours = {};

function judge(file) {
	const stock = verdicts(file, file.stock);
	const runs = file.runs.map((run) => verdicts(file, run));
	const counts = runs.map(() => ({ passed: 0, failed: 0 }));
	const which = (i) => `${RUNGS[i][0]}, ${file.runs[i].on}`;
	let stock_failed = 0, all = 0;
	for (const [line, count] of stock.wanted) {
		const wrong = stock.verdict.get(line);
		all += count;
		if (wrong) {
			stock_failed += count;
			const ours = new Set(runs.map(({ verdict }) =>
				verdict.get(line) || "passes"));
			listed.push(`${file.name}:${line}: ${wrong}; ` +
				`Faultline: ${[...ours].join("; ")}`);
			continue;
		}
		runs.forEach(({ verdict }, i) => {
			const bad = verdict.get(line);
			counts[i][bad ? "failed" : "passed"] += count;
			if (bad)
				failures.push(`${file.name}:${line}: ` +
					`${which(i)}: ${bad}`);
		});
	}
	// Also what is wrong beside the assertions, or with the program.
	file.runs.forEach((run, i) => {
		if (!run.end)
			return;
		failures.push(`${file.name}: ${which(i)}: ${run.end}`);
		counts[i].failed++;
	});
	console.log([file.name.padEnd(44), String(all).padStart(6),
		String(stock_failed).padStart(6), ...counts.map((one, i) =>
			`${one.passed}${one.failed ? `-${one.failed}` : ""}`
				.padStart(9))].join(""));
	for (const one of counts) {
		total.passed += one.passed;
		total.failed += one.failed;
	}
}

function section(title, lines) {
	if (!lines.length)
		return;
	console.log(`\n${title}`);
	for (const line of lines)
		console.log(`  ${line}`);
}

function report(files, outside) {
	const played = files.filter((file) => file.runs);
	const seen = (i) => [...new Set(played.map((file) => file.runs[i].on))]
		.join("/");
	console.log("Assertions, those that stock wasm2c fails, and those " +
		"that Faultline passes (-fails)\nwith " +
		RUNGS.map(([name], i) => `${name} (rung ${seen(i)})`)
			.join(", ") + ":\n");
	played.forEach(judge);
	for (const file of files) {
		if (file.unconverted)
			skips.push(`${file.name}: wast2json: ` +
				file.unconverted);
		for (const { line, why } of file.skips)
			skips.push(`${file.name}:${line}: ${why}`);
		for (const [kind, count] of Object.entries(file.not_ours))
			not_ours[kind] = (not_ours[kind] || 0) + count;
	}
	section("Listed, not counted: stock wasm2c does not pass", listed);
	section("Failed", failures);
	section("Skipped", [...skips, ...Object.entries(not_ours).map(
		([kind, count]) => `${count} of ${kind}: ${NOT_OURS[kind]}`)]);
	total.skipped = skips.length + Object.values(not_ours)
		.reduce((sum, one) => sum + one, 0);
	console.log(`\n${files.length} files in the set, ${outside} others ` +
		"of the folders have no memory, table, data or elements");
	console.log(`${total.passed} passed, ${total.failed} failed, ` +
		`${total.skipped} skipped`);
}

// Modules stay from run to run, unless what they are made by has changed.
async function open_modules() {
	const version = await run(env("WASM2C", "wasm2c"), ["--version"]);
	const maker = sha(fs.readFileSync(fileURLToPath(import.meta.url)),
		CC.join(" "), version.stdout);
	const stamp = `${out}/modules/maker`;
	if (!fs.existsSync(stamp) || fs.readFileSync(stamp, "utf8") !== maker)
		fs.rmSync(`${out}/modules`, { recursive: true, force: true });
	fs.mkdirSync(`${out}/modules`, { recursive: true });
	write(stamp, maker);
}

async function main() {
	const files = [];
	let outside = 0;
	await open_modules();
	for (const folder of FOLDERS) {
		const names = fs.readdirSync(path.join(suite, folder))
			.filter((name) => name.endsWith(".wast")).sort();
		for (const name of names) {
			const text = fs.readFileSync(
				path.join(suite, folder, name), "latin1");
			if (!BELONGS.test(text)) {
				outside++;
				continue;
			}
			const dir = path.join(out, folder,
				path.basename(name, ".wast"));
			files.push({ name: `${folder}/${name}`, dir, steps: [],
				skips: [], not_ours: {} });
		}
	}
	if (!files.length)
		throw new Error(`no .wast file of the set is in ${suite}`);
	const flags = words(env("CPPFLAGS", ""));
	for (const name of ["run", "run_stock", "run_pool"]) {
		fs.rmSync(`${out}/${name}.o`, { force: true });
		const wrong = await compile(`${HERE}/${name}.c`,
			`${out}/${name}.o`, ["-O1", "-g", ...flags]);
		if (wrong)
			throw new Error(`${name}.c: ${wrong}`);
	}
	await Promise.all(files.map(do_file));
	report(files, outside);
	return total.failed === 0 && total.passed > 0;
}

main().then((good) => process.exit(good ? 0 : 1), (error) => {
	console.error(`run.mjs: ${error.message}`);
	console.log(`${total.passed} passed, ${total.failed + 1} failed, ` +
		`${total.skipped} skipped`);
	process.exit(1);
});
