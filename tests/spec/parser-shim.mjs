// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// parser-shim.mjs - what the parser of fetch-parser.sh imports of a system:
// nothing but an empty environment and random numbers that are none, so that
// the same text gives the same bytes. Parsing uses no more; anything else that
// is called throws.

class Resource {}

function system(provided = {}) {
	return new Proxy(provided, {
		get(target, name) {
			if (name in target)
				return target[name];
			if (/^[A-Z]/.test(String(name)))
				return Resource;
			return () => {
				throw new Error(`${String(name)}() is not here`);
			};
		},
	});
}

export const environment = system({ getEnvironment: () => [] });
export const random = system({
	getRandomBytes: (count) => new Uint8Array(Number(count)),
});

export const error = system();
export const exit = system();
export const preopens = system();
export const stderr = system();
export const stdin = system();
export const stdout = system();
export const streams = system();
export const terminalInput = system();
export const terminalOutput = system();
export const terminalStderr = system();
export const terminalStdin = system();
export const terminalStdout = system();
export const types = system();
