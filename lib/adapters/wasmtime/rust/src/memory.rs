// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//! A linear memory of the pool, and who hands it to Wasmtime.

use crate::module;
use crate::pool::{Pool, call, defaults};
use crate::sys::*;
use std::marker::PhantomPinned;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use wasmtime::{Error, LinearMemory, MemoryCreator, MemoryType, Result};

/// Always in a box: the memory's user pointer leads here, and Wasmtime takes the box.
pub(crate) struct Memory {
    /// Null: the content sleeps, and the store is about to end.
    memory: AtomicPtr<fl_memory>,
    page_bytes: u64,
    /// The pool lives as long as its memories.
    pool: Pool,
    /// Others have the address too, whoever has the box.
    _pinned: PhantomPinned,
}

// One store owns the memory, and the library takes calls from any thread.
unsafe impl Send for Memory {}
unsafe impl Sync for Memory {}

impl Memory {
    /// image may be null: zeroes.
    pub(crate) fn take(
        pool: &Pool,
        image: *mut fl_image,
        initial_bytes: u64,
        max_bytes: u64,
        page_bytes: u64,
    ) -> Result<Box<Memory>> {
        let mut config: fl_memory_config = defaults(FL_MEMORY_CONFIG);
        let mut memory = ptr::null_mut();
        let held = Box::new(Memory {
            memory: AtomicPtr::default(),
            page_bytes,
            pool: pool.clone(),
            _pinned: PhantomPinned,
        });
        config.user = (&raw const *held).cast_mut().cast();
        config.image = image;
        config.initial_bytes = initial_bytes;
        config.max_bytes = max_bytes;
        config.page_bytes = page_bytes;
        call(|e| unsafe { fl_memory_acquire(pool.inner.pool, &config, &mut memory, e) })?;
        held.memory.store(memory, Ordering::Relaxed);
        Ok(held)
    }

    pub(crate) fn raw(&self) -> *mut fl_memory {
        self.memory.load(Ordering::Relaxed)
    }

    /// It was put to sleep, and is not to be given back again.
    pub(crate) fn forget(&self) {
        self.memory.store(ptr::null_mut(), Ordering::Relaxed);
    }

    fn length(&self) -> u64 {
        let memory = self.raw();
        if memory.is_null() {
            return 0;
        }
        unsafe { AtomicU64::from_ptr(&raw mut (*memory).length_bytes).load(Ordering::Acquire) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let memory = self.raw();
        if !memory.is_null() {
            unsafe { fl_memory_release(memory) };
        }
    }
}

unsafe impl LinearMemory for Memory {
    fn byte_size(&self) -> usize {
        self.length() as usize
    }

    /// Wasmtime takes faults up to here, and a guard farther, for the memory's,
    /// and lets growth in place end here.
    fn byte_capacity(&self) -> usize {
        self.pool.max_memory_bytes()
    }

    fn grow_to(&mut self, new_size: usize) -> Result<()> {
        let delta = (new_size as u64).saturating_sub(self.length());
        if delta % self.page_bytes != 0 {
            return Err(Error::msg("a memory grows by whole pages"));
        }
        match unsafe { fl_memory_grow(self.raw(), delta / self.page_bytes, ptr::null_mut()) } {
            0 => Ok(()),
            code => call(|_| code),
        }
    }

    fn as_ptr(&self) -> *mut u8 {
        let memory = self.raw();
        if memory.is_null() {
            return ptr::null_mut();
        }
        unsafe { (*memory).base }
    }
}

pub(crate) struct Creator {
    pub(crate) pool: Pool,
    /// What Pool::configure() set, and the pool keeps.
    pub(crate) reserved: u64,
    pub(crate) guard: u64,
}

impl Creator {
    /// Does the pool keep what Wasmtime's code takes for granted?
    fn check(&self, reserved: u64, guard: u64) -> Result<()> {
        if (reserved, guard) == (self.reserved, self.guard) {
            return Ok(());
        }
        let (kept, kept_guard) = self.pool.adjust(reserved, guard)?;
        if kept >= reserved && kept_guard >= guard {
            return Ok(());
        }
        Err(Error::msg(format!(
            "Wasmtime's code needs a reservation of {reserved} and a guard of {guard} bytes, \
             the pool has {kept} and {kept_guard}: call Pool::configure() last"
        )))
    }
}

unsafe impl MemoryCreator for Creator {
    fn new_memory(
        &self,
        ty: MemoryType,
        minimum: usize,
        maximum: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        self.check(reserved.unwrap_or(0) as u64, guard as u64)
            .and_then(|()| module::next_memory(&self.pool, &ty, minimum, maximum))
            .map(|memory| memory as Box<dyn LinearMemory>)
            .map_err(|error| error.to_string())
    }
}
