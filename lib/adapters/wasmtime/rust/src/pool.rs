// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//! A pool, and what it asks of an engine.

use crate::memory::Creator;
use crate::sys::*;
use std::ffi::{CStr, c_int};
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::sync::Arc;
use wasmtime::{Config, Error, Result};

/// What a [`Pool`] holds. Every field has the library's default.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Memories that live at once.
    pub memories: u32,
    /// The greatest size of one memory, growth included.
    pub max_memory_bytes: u64,
    /// Code that checks bounds itself (a reservation of 0): small slots, and
    /// growth without a system call.
    pub is_accessible: bool,
    /// Fiber stacks for asynchronous calls; 0: Wasmtime's own.
    pub stacks: u32,
    pub stack_bytes: u64,
}

impl Default for PoolConfig {
    fn default() -> Self {
        PoolConfig {
            memories: 1000,
            max_memory_bytes: 4 << 30,
            is_accessible: false,
            stacks: 0,
            stack_bytes: 2 << 20,
        }
    }
}

pub(crate) struct Inner {
    context: *mut fl_context,
    pub(crate) pool: *mut fl_pool,
    max_memory_bytes: u64,
}

// Any thread may make any call on a pool.
unsafe impl Send for Inner {}
unsafe impl Sync for Inner {}

impl Drop for Inner {
    fn drop(&mut self) {
        // Every memory holds a reference to this, so none lives.
        unsafe {
            if !self.pool.is_null() {
                fl_pool_destroy(self.pool);
            }
            fl_context_destroy(self.context);
        }
    }
}

/// Memories that were reserved in advance. Clones are the same pool, which ends
/// with its last memory, module, engine and clone.
#[derive(Clone)]
pub struct Pool {
    pub(crate) inner: Arc<Inner>,
}

/// A struct of the library's, with its defaults.
pub(crate) fn defaults<T>(kind: c_int) -> T {
    let mut config = MaybeUninit::<T>::uninit();
    unsafe {
        fl_config_init(kind, config.as_mut_ptr().cast(), mem::size_of::<T>());
        config.assume_init()
    }
}

/// Makes a call that fills a struct fl_error when it fails.
pub(crate) fn call(f: impl FnOnce(*mut fl_error) -> c_int) -> Result<()> {
    let mut error: fl_error = unsafe { mem::zeroed() };
    let code = f(&mut error);
    if code == 0 {
        return Ok(());
    }
    let text = unsafe {
        if error.text[0] == 0 {
            CStr::from_ptr(fl_strerror(code))
        } else {
            CStr::from_ptr(error.text.as_ptr())
        }
    };
    Err(Error::msg(text.to_string_lossy().into_owned()))
}

impl Pool {
    /// Reserves address space. Nothing is committed.
    pub fn new(wanted: &PoolConfig) -> Result<Pool> {
        let mut inner = Inner {
            context: ptr::null_mut(),
            pool: ptr::null_mut(),
            max_memory_bytes: wanted.max_memory_bytes,
        };
        let mut config: fl_pool_config = defaults(FL_POOL_CONFIG);
        config.max_instances = 0;
        config.max_memories = wanted.memories;
        config.max_memories_per_instance = 100;
        config.max_memory_bytes = wanted.max_memory_bytes;
        // What Wasmtime's code may reach behind the last slot.
        config.guard_after_bytes = 32 << 20;
        if wanted.is_accessible {
            config.bounds = 1;
            config.memory_stride_bytes = 0;
            config.guard_after_bytes = 65536;
        }
        config.max_stacks = wanted.stacks;
        config.stack_bytes = wanted.stack_bytes;
        unsafe {
            call(|e| fl_context_create(ptr::null(), &mut inner.context, e))?;
            call(|e| fl_pool_create(inner.context, &config, &mut inner.pool, e))?;
        }
        Ok(Pool { inner: Arc::new(inner) })
    }

    pub(crate) fn context(&self) -> *mut fl_context {
        self.inner.context
    }

    pub(crate) fn max_memory_bytes(&self) -> usize {
        self.inner.max_memory_bytes as usize
    }

    /// How this host makes memories clean: "track" is the best.
    pub fn rung(&self) -> &str {
        unsafe {
            CStr::from_ptr(fl_context_rung(self.inner.context, ptr::null_mut()))
                .to_str()
                .unwrap_or("")
        }
    }

    /// What the pool keeps of this reservation and guard.
    pub(crate) fn adjust(&self, reserved: u64, guard: u64) -> Result<(u64, u64)> {
        let mut tunables: fl_tunables = defaults(FL_TUNABLES);
        tunables.memory_reservation_bytes = reserved;
        tunables.memory_guard_bytes = guard;
        tunables.memory_may_move = 0;
        tunables.checks_bounds = (reserved == 0 && guard == 0) as u32;
        call(|e| unsafe { fl_pool_adjust_tunables(self.inner.pool, &mut tunables, e) })?;
        Ok((tunables.memory_reservation_bytes, tunables.memory_guard_bytes))
    }

    /// Makes engines of this configuration take their memories here. Call it last:
    /// it sets the reservation, the guard, that memories do not move, and that Wasmtime maps
    /// no images of its own. The
    /// allocation strategy stays on demand.
    pub fn configure(&self, config: &mut Config) -> Result<()> {
        // An accessible pool takes code that checks bounds, and no other.
        let (reserved, guard) = match self.adjust(4 << 30, 32 << 20) {
            Ok(both) => both,
            Err(_) => self.adjust(0, 0)?,
        };
        config.with_host_memory(Arc::new(Creator { pool: self.clone(), reserved, guard }));
        config.memory_reservation(reserved);
        config.memory_guard_size(guard);
        config.memory_may_move(false);
        // Wasmtime 48 panics where it would map an image of its own over a
        // memory that is not its own.
        config.memory_init_cow(false);
        Ok(())
    }

    /// Makes asynchronous calls run on the pool's stacks.
    #[cfg(feature = "async")]
    pub fn configure_stacks(&self, config: &mut Config) {
        config.with_host_stack(Arc::new(crate::stack::Creator { pool: self.clone() }));
    }
}
