// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//! Time, by the clock or by what a thread had of a processor; and medians.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Count the thread's time on a processor in place of the time of the clock.
pub static BY_CPU: AtomicBool = AtomicBool::new(false);

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

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

/// us, from any beginning on. With BY_CPU the thread's.
pub fn now_us() -> f64 {
    if !BY_CPU.load(Ordering::Relaxed) {
        return START.elapsed().as_secs_f64() * 1e6;
    }
    let mut time = Timespec { seconds: 0, ns: 0 };
    assert_eq!(unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &mut time) }, 0);
    time.seconds as f64 * 1e6 + time.ns as f64 * 1e-3
}

/// The sample below which this share of all lies.
pub fn quantile(samples: &mut [f64], share: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[((samples.len() - 1) as f64 * share) as usize]
}

pub fn median(samples: &mut [f64]) -> f64 {
    quantile(samples, 0.5)
}
