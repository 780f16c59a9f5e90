// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//! Fiber stacks of the pool, for asynchronous calls.

use crate::pool::{Pool, call};
use crate::sys::*;
use std::ops::Range;
use std::ptr;
use wasmtime::{Error, Result, StackCreator, StackMemory};

struct Stack {
    stack: *mut fl_stack,
    _pool: Pool,
}

unsafe impl Send for Stack {}
unsafe impl Sync for Stack {}

impl Drop for Stack {
    fn drop(&mut self) {
        unsafe { fl_stack_release(self.stack) };
    }
}

unsafe impl StackMemory for Stack {
    fn top(&self) -> *mut u8 {
        unsafe { (*self.stack).high }
    }

    fn range(&self) -> Range<usize> {
        unsafe { (*self.stack).low as usize..(*self.stack).high as usize }
    }

    /// The page below the stack; the pool's guard is no smaller.
    fn guard_range(&self) -> Range<*mut u8> {
        unsafe { (*self.stack).low.wrapping_sub(4096)..(*self.stack).low }
    }
}

pub(crate) struct Creator {
    pub(crate) pool: Pool,
}

unsafe impl StackCreator for Creator {
    fn new_stack(&self, size: usize, zeroed: bool) -> Result<Box<dyn StackMemory>, Error> {
        let mut stack = ptr::null_mut();
        call(|e| unsafe { fl_stack_acquire(self.pool.inner.pool, 0, &mut stack, e) })?;
        let stack = Stack { stack, _pool: self.pool.clone() };
        let range = stack.range();
        if range.len() < size {
            return Err(Error::msg(format!(
                "Wasmtime wants stacks of {size} bytes: raise stack_bytes, or lower \
                 Config::async_stack_size"
            )));
        }
        if zeroed {
            unsafe { ptr::write_bytes(range.start as *mut u8, 0, range.len()) };
        }
        Ok(Box::new(stack))
    }
}
