// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//! The sweep's guest, captured and cloned; and sessions of it, which only a pool of
//! Faultline's has: a clone that goes to sleep as a delta after each call, and wakes
//! for the next one.

use crate::Options;
use crate::clock::{median, now_us};
use crate::sweep::{Row, SAMPLES, guest};
use crate::ways::{engine, pool};
use faultline_wasmtime::{Delta, Module, Snapshot};
use std::time::{Duration, Instant};
use wasmtime::{Engine, Result, Store};

/// What one call in a clone takes, us, over the time given: a clone each time, or a
/// session that sleeps in between.
fn sample_clones(
    engine: &Engine,
    snapshot: &Snapshot,
    writes: u32,
    time: Duration,
    asleep: &mut Option<Delta>,
    sleeps: bool,
) -> Result<f64> {
    let start = Instant::now();
    let begin = now_us();
    let mut count = 0u32;
    while start.elapsed() < time || count == 0 {
        let mut store = Store::new(engine, ());
        let instance = match asleep.as_ref().filter(|_| sleeps) {
            Some(delta) => snapshot.wake(&mut store, &[], delta)?,
            None => snapshot.instantiate(&mut store, &[])?,
        };
        instance
            .get_typed_func::<(u32, u32, u32, u32), i32>(&mut store, "touch")?
            .call(&mut store, (64, writes, 0, count))?;
        if sleeps {
            let delta = snapshot.suspend(store, &instance).map_err(|(_, error)| error)?;
            *asleep = Some(delta);
        }
        count += 1;
    }
    Ok((now_us() - begin) / count as f64)
}

pub fn run(options: &Options) -> Result<()> {
    let pool = pool()?;
    let engine = &engine(&pool)?;
    let bytes = guest(Row { reads: 64, writes: 64, random: 0, threads: 1, spread: false });
    let module = Module::new_resumable(engine, &pool, &bytes)?;
    let mut store = Store::new(engine, ());
    let instance = module.instantiate(&mut store, &[])?;
    module.start(&mut store, &instance)?;
    let start = now_us();
    let snapshot = module.snapshot(&mut store, &instance)?;
    let capture_us = now_us() - start;
    let time = Duration::from_secs_f64(options.seconds / 2.0 / SAMPLES as f64);
    if !options.is_json {
        println!("\ncaptured in {capture_us:.0} us; sessions, us a call and bytes asleep");
        println!("reads writes      clone    session      bytes");
    }
    for writes in [0, 4, 16, 64] {
        let (mut clones, mut sessions, mut asleep) = (Vec::new(), Vec::new(), None);
        for round in 0..SAMPLES + 1 {
            let clone = sample_clones(engine, &snapshot, writes, time, &mut asleep, false)?;
            let session = sample_clones(engine, &snapshot, writes, time, &mut asleep, true)?;
            if round > 0 {
                clones.push(clone);
                sessions.push(session);
            }
        }
        let (clone, session) = (median(&mut clones), median(&mut sessions));
        let length = asleep.map_or(0, |delta| delta.bytes().len());
        if options.is_json {
            println!(
                "{{\"bench\": \"wasmtime-sessions\", \"reads\": 64, \"writes\": {writes}, \
                 \"clone_us\": {clone:.3}, \"session_us\": {session:.3}, \"bytes\": {length}}}"
            );
        } else {
            println!("{:5} {writes:6} {clone:10.2} {session:10.2} {length:10}", 64);
        }
    }
    Ok(())
}
