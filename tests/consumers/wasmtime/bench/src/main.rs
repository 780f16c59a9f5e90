// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//! bench-wasmtime - a fresh store and instance for each call, in Wasmtime as it
//! comes and with a Faultline pool inside. The ways take turns within one run.
//!
//!     bench-wasmtime [--seconds S] [--json] [--cpu] [--guest FILE]
//!                    [--only sweep|sessions|service] [--row N] [--way NAME]
//!
//! sweep.rs says what the rows are, sessions.rs and service.rs what comes after them;
//! the service wants a guest, qjs.wasm. For each row and way: the median of the
//! samples' mean, us a call. --seconds is for one row. --cpu counts the threads' time on a
//! processor in place of the time of the clock, for hosts that others use too; what
//! threads wait for is not in it then. --only, --row (from 0) and --way leave out the
//! rest, for a look with a profiler.

mod clock;
mod service;
mod sessions;
mod sweep;
mod ways;

use std::sync::atomic::Ordering;
use wasmtime::Result;

pub struct Options {
    pub seconds: f64,
    pub is_json: bool,
    pub guest: Option<String>,
    pub only: Option<String>,
    pub row: Option<usize>,
    pub way: Option<String>,
}

impl Options {
    fn new(args: &[String]) -> Options {
        let has = |name: &str| args.iter().any(|arg| arg == name);
        let value = |name: &str| {
            args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1).cloned())
        };
        clock::BY_CPU.store(has("--cpu"), Ordering::Relaxed);
        Options {
            seconds: value("--seconds").and_then(|text| text.parse().ok()).unwrap_or(3.0),
            is_json: has("--json"),
            guest: value("--guest"),
            only: value("--only"),
            row: value("--row").and_then(|text| text.parse().ok()),
            way: value("--way"),
        }
    }

    pub fn wants_way(&self, name: &str) -> bool {
        self.way.as_ref().is_none_or(|wanted| wanted == name)
    }

    fn wants(&self, part: &str) -> bool {
        self.only.as_ref().is_none_or(|wanted| wanted == part)
    }
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let options = Options::new(&args);
    if !options.is_json {
        let of = if clock::BY_CPU.load(Ordering::Relaxed) { "processor" } else { "clock" };
        println!("rung {}; us a call by the {of}, median", ways::pool()?.rung());
    }
    if options.wants("sweep") {
        sweep::run(&options)?;
    }
    if options.wants("sessions") {
        sessions::run(&options)?;
    }
    match &options.guest {
        Some(path) if options.wants("service") => service::run(&options, path),
        _ => Ok(()),
    }
}
