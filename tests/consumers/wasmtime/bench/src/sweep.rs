// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//! An image of 4 MiB, of which the guest reads and writes so many host pages: side by
//! side, or spread over the image at equal distances. Pages side by side are one region
//! of a scan, pages that are spread are as many regions. The last two columns are about the
//! least that any allocator can take, and what factor over Wasmtime's best mode that is.

use crate::Options;
use crate::clock::{median, now_us};
use crate::ways::{BEST, FAULTLINE, KEEPS, POOLING, WAYS, Way};
use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};
use wasmtime::Result;

const IMAGE_WPAGES: usize = 64;
const IMAGE_PAGES: u32 = IMAGE_WPAGES as u32 * 16;
pub const SAMPLES: usize = 15;

#[derive(Clone, Copy)]
pub struct Row {
    pub reads: u32,
    pub writes: u32,
    /// Writes at random more.
    pub random: u32,
    pub threads: usize,
    pub spread: bool,
}

const fn row(reads: u32, writes: u32, random: u32, threads: usize, spread: bool) -> Row {
    Row { reads, writes, random, threads, spread }
}

const ROWS: &[Row] = &[
    row(64, 0, 0, 1, false),
    row(64, 16, 0, 1, false),
    row(64, 16, 0, 1, true),
    row(64, 16, 8, 1, false),
    row(64, 16, 8, 1, true),
    row(16, 16, 0, 1, false),
    row(16, 16, 0, 1, true),
    row(200, 200, 0, 1, false),
    row(200, 200, 0, 1, true),
    row(64, 16, 0, 2, false),
    row(64, 16, 0, 2, true),
    row(200, 200, 0, 2, false),
    row(200, 200, 0, 2, true),
    // The sweep.
    row(0, 0, 0, 1, false),
    row(1, 1, 0, 1, false),
    row(4, 4, 0, 1, false),
    row(4, 4, 0, 1, true),
    row(64, 64, 0, 1, false),
    row(64, 64, 0, 1, true),
    row(500, 500, 0, 1, false),
    row(500, 500, 0, 1, true),
    row(1000, 1000, 0, 1, false),
    row(2000, 2000, 0, 1, false),
];

impl Row {
    fn stride(&self, pages: u32) -> u32 {
        match self.spread {
            true => (IMAGE_PAGES / pages.max(1)).max(1) * 4096,
            false => 4096,
        }
    }
}

/// The memory is as large as the image, or larger where the row writes beyond.
pub fn guest(row: Row) -> Vec<u8> {
    let wpages = IMAGE_WPAGES.max(row.writes.div_ceil(16) as usize);
    let (reads, writes) = (row.stride(row.reads), row.stride(row.writes));
    let mut text = String::with_capacity(IMAGE_WPAGES * 65536 * 3 + 4096);
    text += &format!(
        r#"(module (memory (export "memory") {wpages})
        (global $seed (mut i32) (i32.const 1))
        (func (export "touch") (param $reads i32) (param $writes i32) (param $random i32)
                (param $seed i32) (result i32) (local $i i32) (local $sum i32) (local $at i32)
          (block $done (loop $next
            (br_if $done (i32.ge_u (local.get $i) (local.get $reads)))
            (local.set $sum (i32.add (local.get $sum)
              (i32.load (i32.mul (local.get $i) (i32.const {reads})))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $next)))
          (local.set $i (i32.const 0))
          (block $done (loop $next
            (br_if $done (i32.ge_u (local.get $i) (local.get $writes)))
            (i32.store (i32.mul (local.get $i) (i32.const {writes})) (local.get $seed))
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
        write!(text, "\\{:02x}", (i * 7 + i / 4096) % 255 + 1).unwrap();
    }
    text.push_str("\"))");
    wat::parse_str(&text).unwrap()
}

fn cycle(way: &Way, row: Row, seed: u32) -> Result<i32> {
    let (mut store, instance) = way.begin()?;
    instance
        .get_typed_func::<(u32, u32, u32, u32), i32>(&mut store, "touch")?
        .call(&mut store, (row.reads, row.writes, row.random, seed))
}

/// us a step, over the time given.
fn mean(time: Duration, mut step: impl FnMut(u32)) -> f64 {
    let (start, begin) = (Instant::now(), now_us());
    let mut count = 0u32;
    while start.elapsed() < time {
        for _ in 0..16 {
            step(count);
            count += 1;
        }
    }
    (now_us() - begin) / f64::from(count)
}

/// us a call, of all threads together, over the time given.
fn sample(way: &Way, row: Row, time: Duration, seed: u32) -> f64 {
    let run = |thread: u32| {
        mean(time, |i| {
            cycle(way, row, seed.wrapping_add(i * 2 + thread)).unwrap();
        })
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (1..row.threads).map(|i| scope.spawn(move || run(i as u32))).collect();
        let mut sum = 1.0 / run(0);
        for thread in threads {
            sum += 1.0 / thread.join().unwrap();
        }
        // Calls in all, turned round.
        1.0 / sum
    })
}

/// The bytes of the pages that a call writes, from one place to another.
fn copy_written(row: Row, from: &[u8], to: &mut [u8]) {
    let stride = row.stride(row.writes) as usize;
    let (run, runs) = match row.spread {
        true => (4096, row.writes as usize),
        false => (row.writes as usize * 4096, 1),
    };
    for i in 0..runs {
        let at = i * stride;
        to[at..at + run].copy_from_slice(&from[at..at + run]);
    }
    for i in 0..row.random as usize {
        let at = i * 61 * 4096;
        to[at..at + 4096].copy_from_slice(&from[at..at + 4096]);
    }
    black_box(to);
}

/// About the least that any allocator can take: the call in an instance that is used
/// again, a store and an instance that nobody calls, in the cheapest way there is, and a
/// copy of the bytes that were written, of which nobody had to be told. Threads share it
/// ideally. The parts are measured apart: where hundreds of pages are written, each finds
/// the caches full of its own bytes, and one call that does all may take less.
fn floor(ways: &[Way], row: Row, time: Duration) -> Result<f64> {
    let bytes = IMAGE_WPAGES.max(row.writes.div_ceil(16) as usize) * 65536;
    let (from, mut to) = (vec![1; bytes], vec![0; bytes]);
    let (mut store, instance) = ways[POOLING].begin()?;
    let [mut calls, mut pooling, mut faultline, mut copies] = [const { Vec::new() }; 4];
    for _ in 0..SAMPLES {
        calls.push(mean(time, |seed| {
            instance
                .get_typed_func::<(u32, u32, u32, u32), i32>(&mut store, "touch")
                .and_then(|touch| touch.call(&mut store, (row.reads, row.writes, row.random, seed)))
                .unwrap();
        }));
        pooling.push(mean(time, |_| drop(ways[POOLING].begin().unwrap())));
        faultline.push(mean(time, |_| drop(ways[FAULTLINE].begin().unwrap())));
        copies.push(mean(time, |_| copy_written(row, &from, &mut to)));
    }
    let begin = median(&mut pooling).min(median(&mut faultline));
    Ok((median(&mut calls) + begin + median(&mut copies)) / row.threads as f64)
}

/// What Wasmtime's best mode is to keep resident, so that this row is fastest.
fn best_keep(row: Row, bytes: &[u8], time: Duration) -> Result<usize> {
    let mut found = (f64::INFINITY, 0);
    for &keep in KEEPS {
        let way = Way::best(bytes, keep)?;
        sample(&way, row, time, 1);
        let mut samples: Vec<_> = (2..5).map(|seed| sample(&way, row, time, seed)).collect();
        let us = median(&mut samples);
        // A larger one has to be better by more than noise.
        if us < found.0 * 0.98 {
            found = (us, keep);
        }
    }
    Ok(found.1)
}

/// Each row has its own engines, because a slot remembers what earlier rows wrote: to
/// reset what was once written is what Wasmtime's best mode does.
fn run_row(options: &Options, row: Row) -> Result<()> {
    let time = Duration::from_secs_f64(options.seconds / WAYS.len() as f64 / SAMPLES as f64);
    let bytes = guest(row);
    let keep = match options.wants_way(WAYS[BEST]) {
        true => best_keep(row, &bytes, time)?,
        false => 0,
    };
    let ways = Way::all(&bytes, keep)?;
    let mut samples = vec![Vec::new(); ways.len()];
    for round in 0..SAMPLES + 1 {
        for (i, way) in ways.iter().enumerate() {
            if !options.wants_way(WAYS[i]) {
                continue;
            }
            let us = sample(way, row, time, round as u32 * 7919);
            // The first round warms slots.
            if round > 0 {
                samples[i].push(us);
            }
        }
    }
    let least = match options.way {
        None => floor(&ways, row, time)?,
        Some(_) => f64::NAN,
    };
    let pattern = if row.spread { "spread" } else { "side by side" };
    let medians: Vec<_> = samples
        .iter_mut()
        .map(|samples| if samples.is_empty() { f64::NAN } else { median(samples) })
        .collect();
    if !options.is_json {
        print!("{:5} {:6} {:6} {:7} {pattern:>12}", row.reads, row.writes, row.random, row.threads);
        medians.iter().for_each(|us| print!(" {us:10.2}"));
        print!(" {:6} {:5.2}", keep >> 10, medians[BEST] / medians[FAULTLINE]);
        println!(" {least:7.2} {:10.2}", medians[BEST] / least);
        return Ok(());
    }
    let ways = WAYS.iter().copied().zip(medians).chain([("floor", least)]);
    for (way, us) in ways.filter(|(_, us)| !us.is_nan()) {
        println!(
            "{{\"bench\": \"wasmtime\", \"way\": \"{way}\", \"reads\": {}, \"writes\": {}, \
             \"random\": {}, \"threads\": {}, \"pattern\": \"{pattern}\", \
             \"best_keep_bytes\": {keep}, \"median_us\": {us:.3}}}",
            row.reads, row.writes, row.random, row.threads
        );
    }
    Ok(())
}

pub fn run(options: &Options) -> Result<()> {
    if !options.is_json {
        print!("reads writes random threads      pattern");
        WAYS.iter().for_each(|way| print!(" {way:>10}"));
        println!("   keep ratio   floor best/floor");
    }
    for (i, row) in ROWS.iter().enumerate() {
        if options.row.is_none_or(|wanted| wanted == i) {
            run_row(options, *row)?;
        }
    }
    Ok(())
}
