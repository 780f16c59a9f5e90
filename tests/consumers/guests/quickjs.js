// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// quickjs.js - a small web service, as the QuickJS guest runs it.
//
// Takes `marked` and `Mustache`, which were loaded before. Gives
// handle(kind, seed), which answers one request with a text:
//
//	0	a greeting in JSON
//	1	a page from a Mustache template
//	2	a page from Markdown
//
// The answer depends on the kind and the seed alone, whatever was asked before.
// And session(kind, seed), what a user of the service has: a counter, the last
// fifty events, a document of 24 lines that each event edits.
//
// What a request leaves behind is counted in `served`, for the host to see
// whether the interpreter is as fresh as it should be.
'use strict';

globalThis.served = 0;

globalThis.handle = (() => {
	const names = ['Ada', 'Grace', 'Edsger', 'Barbara', 'Donald', 'Frances',
		'Alan', 'Radia'];
	const words = ['slot', 'page', 'memory', 'instance', 'image', 'fault',
		'guard', 'pool', 'clean', 'fresh', 'request', 'tenant',
		'kernel', 'table', 'border', 'lease'];

	const template = '<h1>{{title}}</h1>\n<p>For {{name}}</p>\n<ul>\n' +
		'{{#items}}\n<li>{{.}}</li>\n{{/items}}\n</ul>\n';

	function random(seed) {
		let state = seed * 2654435761 >>> 0;
		return below => {
			state = Math.imul(state, 1664525) + 1013904223 >>> 0;
			return (state >>> 8) % below;
		};
	}

	function greeting(seed) {
		return JSON.stringify({
			id: seed,
			greeting: 'Hello, ' + names[seed % 8] + '!',
		});
	}

	function page(seed) {
		const next = random(seed);
		return Mustache.render(template, {
			title: 'Order ' + seed,
			name: names[next(8)] + ' <' + words[next(16)] + '>',
			items: [words[next(16)], words[next(16)]],
		});
	}

	function article(seed) {
		const next = random(seed);
		return marked.parse('# Note ' + seed + '\n\n' + words[next(16)] +
			' **' + words[next(16)] + '** ' + words[next(16)] + ' `' +
			words[next(16)] + '`.\n');
	}

	const kinds = [greeting, page, article];

	return (kind, seed) => {
		globalThis.served++;
		return kinds[kind](seed);
	};
})();

globalThis.session = (() => {
	const verbs = ['opened', 'moved', 'renamed', 'shared', 'closed', 'printed',
		'signed', 'sent'];
	let count, events, lines;

	function begin() {
		count = 0;
		events = [];
		lines = [];
		for (let i = 0; i < 24; i++)
			lines.push('Line ' + i + ' is empty.');
		return '';
	}

	function add(seed) {
		const at = seed % 24, verb = verbs[(seed >>> 8) % 8];

		count++;
		if (events.length === 50)
			events.shift();
		events.push({ id: count, verb, value: seed >>> 12 });
		lines[at] = 'Line ' + at + ' was ' + verb + ' by event ' + count + '.';
		return count + ' ' + events[0].id + ' ' + lines[(at + 1) % 24];
	}

	begin();
	return (kind, seed) => kind === 0 ? add(seed) : kind === 1 ?
		JSON.stringify({ count, events, lines }) : begin();
})();
