// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//! The service's guest: a JavaScript interpreter with two libraries, which starts in
//! milliseconds and answers in microseconds. Each request has a store and an instance
//! of its own, which has started already: Wizer has made a module of a started one and
//! Wasmtime has compiled it again, or, in the way "clone", the pool's capture of a
//! started one is shown. Answers are compared with Wasmtime's own.
//!
//! Isolation is what a request takes more than in an instance that is used again.

use crate::Options;
use crate::clock::{median, now_us, quantile};
use crate::ways::{self, BEST, KEEPS, WAYS, Way};
use faultline_wasmtime::{Delta, Snapshot};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use wasmtime::*;
use wasmtime_wizer::{WasmtimeWizer, Wizer};

const KINDS: [&str; 3] = ["greeting", "mustache", "markdown"];
const SEEDS: u32 = 16;
/// Of each kind, before the guest is captured.
const WARM_REQUESTS: u32 = 50;
const BLOCK: Duration = Duration::from_millis(5);
/// Sessions that take turns, and what each has seen before it is measured; "make service
/// BENCH_FLAGS='--guest quickjs --sessions 200'" has young sessions too, under wasm2c.
const SESSIONS: usize = 200;
const EVENTS: u32 = 1;

const CLONE: &str = "clone";
const REUSED: &str = "reused";

type Answers = Vec<Vec<Vec<u8>>>;

/// One instance, and what it is asked.
struct Lane<'a> {
    store: &'a mut Store<()>,
    instance: Instance,
}

impl Lane<'_> {
    fn call<P: WasmParams, R: WasmResults>(&mut self, name: &str, params: P) -> Result<R> {
        self.instance.get_typed_func::<P, R>(&mut self.store, name)?.call(&mut self.store, params)
    }

    /// As a host that has not captured it starts it.
    fn start(&mut self) -> Result<()> {
        self.call::<(), ()>("_initialize", ())?;
        let step = self.call::<(), i32>("start", ())?;
        assert_eq!(step, 0, "the guest does not start");
        for seed in 0..WARM_REQUESTS {
            for kind in 0..KINDS.len() as u32 {
                self.call::<(u32, u32), i32>("handle", (kind, seed % SEEDS))?;
            }
        }
        Ok(())
    }

    /// What instances inherit is random no more.
    fn restored(&mut self, seed: u32) -> Result<()> {
        self.call("restored", (seed as u64, !(seed as u64)))
    }

    fn answer(&mut self, length: i32) -> Result<&[u8]> {
        let at = self.call::<(), u32>("answer", ())? as usize;
        let memory = self.instance.get_memory(&mut self.store, "memory").unwrap();
        Ok(&memory.data(&self.store)[at..at + length as usize])
    }
}

/// Where what is begun comes from.
enum From {
    Way(Way),
    Clone(Engine, Snapshot),
}

impl From {
    fn begin(&self) -> Result<(Store<()>, Instance)> {
        match self {
            From::Way(way) => way.begin(),
            From::Clone(engine, snapshot) => {
                let mut store = Store::new(engine, ());
                let instance = snapshot.instantiate(&mut store, &[])?;
                Ok((store, instance))
            }
        }
    }

    /// us of one request, without comparing its answer.
    fn request(&self, kind: u32, seed: u32, answers: &Answers) -> Result<f64> {
        let begin = now_us();
        let (mut store, instance) = self.begin()?;
        let mut lane = Lane { store: &mut store, instance };
        lane.restored(seed)?;
        let length = lane.call("handle", (kind, seed % SEEDS))?;
        let answered = now_us();
        let wanted = &answers[kind as usize][(seed % SEEDS) as usize];
        assert!(lane.answer(length)? == wanted, "another answer");
        let ending = now_us();
        drop(store);
        Ok(now_us() - ending + answered - begin)
    }
}

/// The same requests in one instance, which nobody isolates.
struct Reused(Store<()>, Instance);

impl Reused {
    fn request(&mut self, kind: u32, seed: u32) -> Result<f64> {
        let begin = now_us();
        Lane { store: &mut self.0, instance: self.1 }
            .call::<(u32, u32), i32>("handle", (kind, seed % SEEDS))?;
        Ok(now_us() - begin)
    }
}

/// A future that waits for nothing.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("Wizer waits"),
    }
}

/// The module as it stands after it has started, what Wizer took to write it, and what
/// Wasmtime takes to compile it again, us.
fn wizen(bytes: &[u8]) -> Result<(Vec<u8>, f64, f64)> {
    let engine = Engine::default();
    let wizer = Wizer::new();
    let (context, instrumented) = wizer.instrument(bytes)?;
    let module = Module::new(&engine, instrumented)?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    Lane { store: &mut store, instance }.start()?;
    let begin = now_us();
    let state = &mut WasmtimeWizer { store: &mut store, instance };
    let written = ready(wizer.snapshot(&context, state))?;
    let wrote = now_us();
    Module::new(&engine, &written)?;
    Ok((written, wrote - begin, now_us() - wrote))
}

/// The capture in the pool, and what it took, us.
fn capture(bytes: &[u8]) -> Result<(Engine, Snapshot, f64)> {
    let pool = ways::pool()?;
    let engine = ways::engine(&pool)?;
    let module = faultline_wasmtime::Module::new_resumable(&engine, &pool, bytes)?;
    let mut store = Store::new(&engine, ());
    let instance = module.instantiate(&mut store, &[])?;
    module.start(&mut store, &instance)?;
    Lane { store: &mut store, instance }.start()?;
    let begin = now_us();
    let snapshot = module.snapshot(&mut store, &instance)?;
    let us = now_us() - begin;
    Ok((engine, snapshot, us))
}

/// What Wasmtime's own instances of the whole module answer.
fn expected(bytes: &[u8]) -> Result<Answers> {
    let engine = Engine::default();
    let module = Module::new(&engine, bytes)?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let mut lane = Lane { store: &mut store, instance };
    lane.start()?;
    (0..KINDS.len() as u32)
        .map(|kind| {
            (0..SEEDS)
                .map(|seed| {
                    let length = lane.call("handle", (kind, seed))?;
                    Ok(lane.answer(length)?.to_vec())
                })
                .collect()
        })
        .collect()
}

/// Requests a second of so many threads at once, and each one's us.
fn block(
    from: &From,
    threads: usize,
    kind: u32,
    answers: &Answers,
    seed: u32,
) -> (f64, Vec<f64>) {
    let run = |thread: u32| {
        let start = Instant::now();
        let mut taken = Vec::new();
        while start.elapsed() < BLOCK {
            let seed = seed.wrapping_add(taken.len() as u32 * 7 + thread);
            taken.push(from.request(kind, seed, answers).unwrap());
        }
        // By what the requests took alone, without comparing.
        (taken.len() as f64 / taken.iter().sum::<f64>() * 1e6, taken)
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|i| scope.spawn(move || run(i as u32))).collect();
        let (mut rate, taken) = run(0);
        for other in others {
            rate += other.join().unwrap().0;
        }
        (rate, taken)
    })
}

struct Figures {
    name: &'static str,
    taken: Vec<f64>,
    rates: Vec<f64>,
}

/// Blocks of all ways in turn, in one thread and in two; then what an instance that is
/// used again takes.
fn measure(
    options: &Options,
    froms: &[(&'static str, From)],
    reused: &mut Reused,
    kind: u32,
    answers: &Answers,
) -> Result<(Vec<Figures>, f64)> {
    let mut figures: Vec<_> = froms
        .iter()
        .map(|(name, _)| Figures { name, taken: Vec::new(), rates: Vec::new() })
        .collect();
    let (mut plain, mut round) = (Vec::new(), 0);
    let rounds = (options.seconds * 1000.0 / 5.0 / (2 * froms.len()) as f64).ceil() as u32;
    while round <= rounds.max(3) {
        for ((_, from), figures) in froms.iter().zip(&mut figures) {
            // The first block warms, as the first requests of each block do.
            let (_, taken) = block(from, 1, kind, answers, round * 7919);
            let (rate, _) = block(from, 2, kind, answers, round * 7907);
            if round > 0 {
                figures.taken.extend_from_slice(&taken[1.min(taken.len() - 1)..]);
                figures.rates.push(rate);
            }
        }
        for seed in 0..40 {
            plain.push(reused.request(kind, seed)?);
        }
        round += 1;
    }
    Ok((figures, median(&mut plain)))
}

fn report(options: &Options, kind: usize, keep: usize, mut figures: Vec<Figures>, reused: f64) {
    for way in &mut figures {
        let (p50, p99) = (quantile(&mut way.taken, 0.5), quantile(&mut way.taken, 0.99));
        let (rate, isolation) = (median(&mut way.rates), p50 - reused);
        if options.is_json {
            println!(
                "{{\"bench\": \"wasmtime-service\", \"kind\": \"{}\", \"way\": \"{}\", \
                 \"p50_us\": {p50:.3}, \"p99_us\": {p99:.3}, \"isolation_us\": {isolation:.3}, \
                 \"two_threads_per_s\": {rate:.0}, \"reused_us\": {reused:.3}, \
                 \"best_keep_bytes\": {keep}}}",
                KINDS[kind], way.name
            );
        } else {
            println!(
                "{:>9} {:>10} {p50:9.2} {p99:9.2} {isolation:10.2} {rate:12.0}",
                KINDS[kind], way.name
            );
        }
    }
    if !options.is_json {
        println!(
            "{:>9} {REUSED:>10} {reused:9.2}; its best mode keeps {} KiB",
            KINDS[kind],
            keep >> 10
        );
    }
}

/// Wakes, asks, and puts to sleep, in turn.
fn sessions(options: &Options, engine: &Engine, snapshot: &Snapshot) -> Result<()> {
    let mut asleep: Vec<Option<Delta>> = (0..SESSIONS).map(|_| None).collect();
    let mut request = |at: usize, seed: u32| -> Result<f64> {
        let begin = now_us();
        let mut store = Store::new(engine, ());
        let instance = match &asleep[at] {
            None => snapshot.instantiate(&mut store, &[])?,
            Some(delta) => snapshot.wake(&mut store, &[], delta)?,
        };
        let mut lane = Lane { store: &mut store, instance };
        let length: i32 = lane.call("session", (0u32, seed))?;
        assert!(length >= 0, "a session has no answer");
        let delta = snapshot.suspend(store, &instance).map_err(|(_, error)| error)?;
        let us = now_us() - begin;
        asleep[at] = Some(delta);
        Ok(us)
    };
    for event in 0..EVENTS {
        for at in 0..SESSIONS {
            request(at, event * 31 + at as u32)?;
        }
    }
    let mut taken = Vec::new();
    let mut seed = 1u32;
    // Young ones: about ten requests each.
    while taken.len() < 10 * SESSIONS {
        seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
        taken.push(request((seed >> 8) as usize % SESSIONS, seed)?);
    }
    let bytes =
        asleep.iter().flatten().map(|delta| delta.bytes().len()).sum::<usize>() / SESSIONS;
    let (p50, p99) = (quantile(&mut taken, 0.5), quantile(&mut taken, 0.99));
    if options.is_json {
        println!(
            "{{\"bench\": \"wasmtime-service-sessions\", \"p50_us\": {p50:.3}, \
             \"p99_us\": {p99:.3}, \"session_bytes\": {bytes}}}"
        );
    } else {
        println!("sessions: p50 {p50:.2} us, p99 {p99:.2} us, {bytes} bytes each");
    }
    Ok(())
}

/// What Wasmtime's best mode is to keep resident for this guest.
fn best_keep(wizened: &[u8], kind: u32, answers: &Answers) -> Result<usize> {
    let mut found = (f64::INFINITY, 0);
    for &keep in KEEPS {
        let from = From::Way(Way::best(wizened, keep)?);
        let mut taken = Vec::new();
        for seed in 0..300 {
            taken.push(from.request(kind, seed, answers)?);
        }
        let us = median(&mut taken[100..]);
        if us < found.0 * 0.98 {
            found = (us, keep);
        }
    }
    Ok(found.1)
}

pub fn run(options: &Options, path: &str) -> Result<()> {
    let bytes = std::fs::read(path).map_err(|error| Error::msg(format!("{path}: {error}")))?;
    let answers = expected(&bytes)?;
    let (wizened, wrote_us, compiled_us) = wizen(&bytes)?;
    let (engine, snapshot, captured_us) = capture(&bytes)?;
    if options.is_json {
        println!(
            "{{\"bench\": \"wasmtime-capture\", \"wizer_us\": {wrote_us:.0}, \
             \"compile_us\": {compiled_us:.0}, \"capture_us\": {captured_us:.0}}}"
        );
    } else {
        println!(
            "\na started QuickJS: captured in {captured_us:.0} us; Wizer writes a module in \
             {wrote_us:.0} us, which Wasmtime compiles in {compiled_us:.0} us"
        );
        println!("  request        way    p50 us    p99 us  isolation two threads/s");
    }
    let clone = From::Clone(engine.clone(), snapshot.clone());
    let (store, instance) = clone.begin()?;
    let mut reused = Reused(store, instance);
    let mut froms = vec![(CLONE, clone)];
    for kind in 0..KINDS.len() {
        let keep = match options.wants_way(WAYS[BEST]) {
            true => best_keep(&wizened, kind as u32, &answers)?,
            false => 0,
        };
        // What a slot has been through belongs to its kind of requests.
        froms.truncate(1);
        froms.extend(
            WAYS.into_iter()
                .zip(Way::all(&wizened, keep)?.into_iter().map(From::Way))
                .filter(|(name, _)| options.wants_way(name)),
        );
        let (figures, plain) = measure(options, &froms, &mut reused, kind as u32, &answers)?;
        report(options, kind, keep, figures, plain);
    }
    sessions(options, &engine, &snapshot)
}
