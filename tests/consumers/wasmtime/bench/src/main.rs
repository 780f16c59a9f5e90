// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//! bench-wasmtime - a fresh store and instance for each call, in Wasmtime as it
//! comes and with a Faultline pool inside: an image of 4 MiB, of which the guest
//! reads and writes so many host pages. The ways take turns within one run. Then
//! sessions, which only the pool has: a clone that goes to sleep as a delta after
//! each call, and wakes for the next one.
//!
//!     bench-wasmtime [--seconds S] [--json] [--cpu]
//!
//! For each row and way: the median of the samples' mean, us a call. --seconds is for
//! one row. --cpu counts the threads' time on a processor in place of the time of the
//! clock, for hosts that others use too; what threads wait for is not in it then.

use faultline_wasmtime::{Delta, Pool, PoolConfig, Snapshot};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use wasmtime::*;

const IMAGE_WPAGES: usize = 64;

static BY_CPU: AtomicBool = AtomicBool::new(false);

/// As Linux has it where long has 64 bits. The standard library links it, and has no
/// call for a thread's time on a processor.
#[repr(C)]
struct Timespec {
    seconds: i64,
    ns: i64,
}
const CLOCK_THREAD_CPUTIME_ID: i32 = 3;
unsafe extern "C" {
    fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
}

/// The thread's time in seconds, from any beginning on.
fn seconds_now(start: Instant) -> f64 {
    if !BY_CPU.load(Ordering::Relaxed) {
        return start.elapsed().as_secs_f64();
    }
    let mut time = Timespec { seconds: 0, ns: 0 };
    assert_eq!(unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &mut time) }, 0);
    time.seconds as f64 + time.ns as f64 * 1e-9
}

/// reads, writes, writes at random, threads
const ROWS: &[(u32, u32, u32, usize)] = &[
    (64, 0, 0, 1),
    (64, 16, 0, 1),
    (64, 16, 8, 1),
    (16, 16, 0, 1),
    (200, 200, 0, 1),
    (64, 16, 0, 2),
    (200, 200, 0, 2),
    // The sweep.
    (0, 0, 0, 1),
    (1, 1, 0, 1),
    (4, 4, 0, 1),
    (64, 64, 0, 1),
    (500, 500, 0, 1),
    (1000, 1000, 0, 1),
    (2000, 2000, 0, 1),
];

/// The memory is as large as the image, or larger where the row writes beyond.
fn guest(row: (u32, u32, u32, usize)) -> Vec<u8> {
    let wpages = IMAGE_WPAGES.max(row.1.div_ceil(16) as usize);
    let mut text = format!(
        r#"(module (memory (export "memory") {wpages})
        (global $seed (mut i32) (i32.const 1))
        (func (export "touch") (param $reads i32) (param $writes i32) (param $random i32)
                (param $seed i32) (result i32) (local $i i32) (local $sum i32) (local $at i32)
          (block $done (loop $next
            (br_if $done (i32.ge_u (local.get $i) (local.get $reads)))
            (local.set $sum (i32.add (local.get $sum)
              (i32.load (i32.mul (local.get $i) (i32.const 4096)))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $next)))
          (local.set $i (i32.const 0))
          (block $done (loop $next
            (br_if $done (i32.ge_u (local.get $i) (local.get $writes)))
            (i32.store (i32.mul (local.get $i) (i32.const 4096)) (local.get $seed))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $next)))
          (local.set $i (i32.const 0))
          (block $done (loop $next
            (br_if $done (i32.ge_u (local.get $i) (local.get $random)))
            (local.set $seed (i32.add (i32.mul (local.get $seed) (i32.const 1664525))
              (i32.const 1013904223)))
            (i32.store (i32.and (i32.shr_u (local.get $seed) (i32.const 8))
              (i32.const 0x3ff000)) (local.get $seed))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $next)))
          (local.get $sum))
        (data (i32.const 0) ""#
    );
    for i in 0..IMAGE_WPAGES * 65536 {
        text.push_str(&format!("\\{:02x}", (i * 7 + i / 4096) % 255 + 1));
    }
    text.push_str("\"))");
    wat::parse_str(&text).unwrap()
}

enum Way {
    Own(Engine, Module),
    Faultline(Engine, faultline_wasmtime::Module),
}

impl Way {
    fn own(mut config: Config, bytes: &[u8], strategy: InstanceAllocationStrategy) -> Result<Way> {
        config.allocation_strategy(strategy);
        let engine = Engine::new(&config)?;
        let module = Module::new(&engine, bytes)?;
        Ok(Way::Own(engine, module))
    }

    fn cycle(&self, row: (u32, u32, u32, usize), seed: u32) -> Result<i32> {
        let engine = match self {
            Way::Own(engine, _) | Way::Faultline(engine, _) => engine,
        };
        let mut store = Store::new(engine, ());
        let instance = match self {
            Way::Own(_, module) => Instance::new(&mut store, module, &[])?,
            Way::Faultline(_, module) => module.instantiate(&mut store, &[])?,
        };
        instance
            .get_typed_func::<(u32, u32, u32, u32), i32>(&mut store, "touch")?
            .call(&mut store, (row.0, row.1, row.2, seed))
    }

    /// us a call and thread, over the time given.
    fn sample(&self, row: (u32, u32, u32, usize), time: Duration, seed: u32) -> f64 {
        let run = |thread: u32| {
            let start = Instant::now();
            let begin = seconds_now(start);
            let mut count = 0u32;
            while start.elapsed() < time {
                for _ in 0..16 {
                    self.cycle(row, seed.wrapping_add(count * 2 + thread)).unwrap();
                    count += 1;
                }
            }
            (seconds_now(start) - begin) * 1e6 / count as f64
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                (1..row.3).map(|i| scope.spawn(move || run(i as u32))).collect();
            let mut sum = 1.0 / run(0);
            for thread in threads {
                sum += 1.0 / thread.join().unwrap();
            }
            // Calls in all, turned round.
            1.0 / sum
        })
    }
}

fn pooling(keep: usize, scan: bool) -> InstanceAllocationStrategy {
    let mut config = PoolingAllocationConfig::default();
    config.total_memories(8).total_core_instances(8).max_memory_size(8 << 20);
    config.linear_memory_keep_resident(keep);
    if scan {
        config.pagemap_scan(Enabled::Yes);
    }
    InstanceAllocationStrategy::Pooling(config)
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let is_json = args.iter().any(|arg| arg == "--json");
    BY_CPU.store(args.iter().any(|arg| arg == "--cpu"), Ordering::Relaxed);
    let seconds = args
        .iter()
        .position(|arg| arg == "--seconds")
        .and_then(|at| args.get(at + 1)?.parse().ok())
        .unwrap_or(3.0);
    if !is_json {
        let of = if BY_CPU.load(Ordering::Relaxed) { "processor" } else { "clock" };
        println!("rung {}; us a call by the {of}, median", pool()?.rung());
        print!("reads writes random threads");
        WAYS.iter().for_each(|way| print!(" {way:>10}"));
        println!();
    }
    let time = Duration::from_secs_f64(seconds / WAYS.len() as f64 / SAMPLES as f64);
    for row in ROWS {
        run_row(*row, &open_ways(*row)?, time, is_json);
    }
    run_sessions(seconds, is_json)
}

const WAYS: [&str; 5] = ["on demand", "pooling", "keep", "its best", "faultline"];

fn pool() -> Result<Pool> {
    Pool::new(&PoolConfig { memories: 8, max_memory_bytes: 8 << 20, ..Default::default() })
}

fn engine(pool: &Pool) -> Result<Engine> {
    let mut config = Config::new();
    pool.configure(&mut config)?;
    Engine::new(&config)
}

/// In the order of WAYS. Each row has its own, because a slot remembers what earlier
/// rows wrote: to reset what was once written is what Wasmtime's best mode does.
fn open_ways(row: (u32, u32, u32, usize)) -> Result<[Way; 5]> {
    let bytes = guest(row);
    let pool = pool()?;
    let engine = engine(&pool)?;
    let module = faultline_wasmtime::Module::new(&engine, &pool, &bytes)?;
    Ok([
        Way::own(Config::new(), &bytes, InstanceAllocationStrategy::OnDemand)?,
        Way::own(Config::new(), &bytes, pooling(0, false))?,
        Way::own(Config::new(), &bytes, pooling(64 << 20, false))?,
        Way::own(Config::new(), &bytes, pooling(64 << 20, true))?,
        Way::Faultline(engine, module),
    ])
}

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
    let begin = seconds_now(start);
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
    Ok((seconds_now(start) - begin) * 1e6 / count as f64)
}

fn run_sessions(seconds: f64, is_json: bool) -> Result<()> {
    let pool = pool()?;
    let engine = &engine(&pool)?;
    let bytes = guest((64, 64, 0, 1));
    let module = faultline_wasmtime::Module::new_resumable(engine, &pool, &bytes)?;
    let mut store = Store::new(engine, ());
    let instance = module.instantiate(&mut store, &[])?;
    module.start(&mut store, &instance)?;
    let start = Instant::now();
    let snapshot = module.snapshot(&mut store, &instance)?;
    let capture_us = start.elapsed().as_secs_f64() * 1e6;
    let time = Duration::from_secs_f64(seconds / 2.0 / SAMPLES as f64);
    if !is_json {
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
        if is_json {
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

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

const SAMPLES: usize = 15;

fn run_row(row: (u32, u32, u32, usize), ways: &[Way], time: Duration, is_json: bool) {
    let mut samples = vec![Vec::new(); ways.len()];
    for round in 0..SAMPLES + 1 {
        for (way, samples) in ways.iter().zip(&mut samples) {
            let us = way.sample(row, time, round as u32 * 7919);
            // The first round warms slots.
            if round > 0 {
                samples.push(us);
            }
        }
    }
    if !is_json {
        print!("{:5} {:6} {:6} {:7}", row.0, row.1, row.2, row.3);
    }
    for (way, samples) in WAYS.iter().zip(&mut samples) {
        let median = median(samples);
        if is_json {
            println!(
                "{{\"bench\": \"wasmtime\", \"way\": \"{}\", \"reads\": {}, \"writes\": {}, \
                 \"random\": {}, \"threads\": {}, \"median_us\": {median:.3}}}",
                way, row.0, row.1, row.2, row.3
            );
        } else {
            print!(" {median:10.2}");
        }
    }
    if !is_json {
        println!();
    }
}
