// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//! bench-wasmtime - a fresh store and instance for each call, in Wasmtime as it
//! comes and with a Faultline pool inside: an image of 4 MiB, of which the guest
//! reads and writes so many host pages. The ways take turns within one run.
//!
//!     bench-wasmtime [--seconds S] [--json]
//!
//! For each row and way: the median of the samples' mean, us a call.

use faultline_wasmtime::{Pool, PoolConfig};
use std::time::{Duration, Instant};
use wasmtime::*;

const IMAGE_WPAGES: usize = 64;

/// reads, writes, writes at random, threads
const ROWS: &[(u32, u32, u32, usize)] = &[
    (0, 0, 0, 1),
    (64, 0, 0, 1),
    (16, 16, 0, 1),
    (64, 16, 0, 1),
    (64, 16, 8, 1),
    (64, 64, 0, 1),
    (200, 200, 0, 1),
    (500, 500, 0, 1),
    (1000, 1000, 0, 1),
    (64, 16, 0, 2),
    (200, 200, 0, 2),
];

fn guest() -> Vec<u8> {
    let mut text = format!(
        r#"(module (memory (export "memory") {IMAGE_WPAGES})
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
            let mut count = 0u32;
            while start.elapsed() < time {
                for _ in 0..16 {
                    self.cycle(row, seed.wrapping_add(count * 2 + thread)).unwrap();
                    count += 1;
                }
            }
            start.elapsed().as_secs_f64() * 1e6 / count as f64
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
    let seconds = args
        .iter()
        .position(|arg| arg == "--seconds")
        .and_then(|at| args.get(at + 1)?.parse().ok())
        .unwrap_or(3.0);
    let bytes = guest();
    let pool = Pool::new(&PoolConfig { memories: 8, max_memory_bytes: 8 << 20, ..Default::default() })?;
    let mut config = Config::new();
    pool.configure(&mut config)?;
    let engine = Engine::new(&config)?;
    let module = faultline_wasmtime::Module::new(&engine, &pool, &bytes)?;
    let ways = [
        ("on demand", Way::own(Config::new(), &bytes, InstanceAllocationStrategy::OnDemand)?),
        ("pooling", Way::own(Config::new(), &bytes, pooling(0, false))?),
        ("keep", Way::own(Config::new(), &bytes, pooling(64 << 20, false))?),
        ("its best", Way::own(Config::new(), &bytes, pooling(64 << 20, true))?),
        ("faultline", Way::Faultline(engine, module)),
    ];
    let time = Duration::from_secs_f64(seconds / ways.len() as f64 / SAMPLES as f64);
    if !is_json {
        println!("rung {}; us a call, median", pool.rung());
        print!("reads writes random threads");
        ways.iter().for_each(|way| print!(" {:>10}", way.0));
        println!();
    }
    for row in ROWS {
        run_row(*row, &ways, time, is_json);
    }
    Ok(())
}

const SAMPLES: usize = 15;

fn run_row(row: (u32, u32, u32, usize), ways: &[(&str, Way)], time: Duration, is_json: bool) {
    let mut samples = vec![Vec::new(); ways.len()];
    for round in 0..SAMPLES + 1 {
        for (way, samples) in ways.iter().zip(&mut samples) {
            let us = way.1.sample(row, time, round as u32 * 7919);
            // The first round warms slots.
            if round > 0 {
                samples.push(us);
            }
        }
    }
    if !is_json {
        print!("{:5} {:6} {:6} {:7}", row.0, row.1, row.2, row.3);
    }
    for (way, samples) in ways.iter().zip(&mut samples) {
        samples.sort_by(f64::total_cmp);
        let median = samples[samples.len() / 2];
        if is_json {
            println!(
                "{{\"bench\": \"wasmtime\", \"way\": \"{}\", \"reads\": {}, \"writes\": {}, \
                 \"random\": {}, \"threads\": {}, \"median_us\": {median:.3}}}",
                way.0, row.0, row.1, row.2, row.3
            );
        } else {
            print!(" {median:10.2}");
        }
    }
    if !is_json {
        println!();
    }
}
