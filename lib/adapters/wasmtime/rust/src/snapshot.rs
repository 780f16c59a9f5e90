// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//! Clones of an instance that has started, and sessions that sleep as deltas.
//!
//! What an instance is made of is read and restored by the module's state exports,
//! in the form that faultline-wasmtime-snapshot.c describes: files and deltas of
//! the C adapter are those of this crate.

use crate::memory::Memory;
use crate::module::{Announced, Module};
use crate::pool::{call, defaults};
use crate::sys::*;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::path::Path;
use std::ptr;
use std::sync::Arc;
use wasmtime::{
    AsContextMut, Error, Extern, Func, Global, Instance, Ref, Result, Store, Table, Val,
};

const ENCODING: &CStr = c"fl_wasmtime 1";
const VALUE_BYTES: usize = 16;
const ELEMENT_BYTES: usize = 4;

struct Raw(*mut fl_snapshot);

// Snapshots are immutable and counted.
unsafe impl Send for Raw {}
unsafe impl Sync for Raw {}

impl Drop for Raw {
    fn drop(&mut self) {
        unsafe { fl_snapshot_release(self.0) };
    }
}

/// What was captured of an instance. Clones of it begin where the instance stood.
#[derive(Clone)]
pub struct Snapshot {
    raw: Arc<Raw>,
    module: Module,
}

/// What a session differs by from its [`Snapshot`]: a session that sleeps.
pub struct Delta {
    raw: *mut fl_delta,
    /// Deltas are against their snapshot alone.
    snapshot: Snapshot,
}

unsafe impl Send for Delta {}
unsafe impl Sync for Delta {}

impl Drop for Delta {
    fn drop(&mut self) {
        unsafe { fl_delta_release(self.raw) };
    }
}

impl Delta {
    /// The bytes, to be kept anywhere: [`Snapshot::open_delta`] takes them back.
    pub fn bytes(&self) -> &[u8] {
        let mut length = 0;
        unsafe {
            let at = fl_delta_bytes(self.raw, &mut length);
            std::slice::from_raw_parts(at.cast(), length as usize)
        }
    }

    fn state(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; 512];
        let mut length = bytes.len() as u64;
        unsafe {
            if fl_delta_read_state(self.raw, 0, bytes.as_mut_ptr().cast(), &mut length) != 0 {
                bytes.resize(length as usize, 0);
                call(|_| fl_delta_read_state(self.raw, 0, bytes.as_mut_ptr().cast(), &mut length))?;
            }
        }
        bytes.truncate(length as usize);
        Ok(bytes)
    }
}

fn not_of_this_module(name: &str) -> Error {
    Error::msg(format!("the instance has no export {name}: it is not of this module"))
}

fn func(store: &mut impl AsContextMut, instance: &Instance, name: &str) -> Result<Func> {
    instance.get_func(store, name).ok_or_else(|| not_of_this_module(name))
}

fn global(store: &mut impl AsContextMut, instance: &Instance, name: &str) -> Result<Global> {
    instance.get_global(store, name).ok_or_else(|| not_of_this_module(name))
}

fn table(store: &mut impl AsContextMut, instance: &Instance, name: &str) -> Result<Table> {
    instance.get_table(store, name).ok_or_else(|| not_of_this_module(name))
}

/// The functions that can be in a state, with their numbers: the index and one.
fn functions(
    store: &mut impl AsContextMut,
    instance: &Instance,
    module: &Module,
) -> Result<Vec<(u32, Func)>> {
    let mut found = Vec::new();
    for export in module.state().iter().filter(|export| export.kind == FL_STATE_FUNCTION) {
        found.push((export.idx + 1, func(store, instance, &export.name)?));
    }
    Ok(found)
}

fn encode(
    store: &mut impl AsContextMut,
    instance: &Instance,
    module: &Module,
) -> Result<Vec<u8>> {
    let mut numbers = HashMap::new();
    for (number, func) in functions(store, instance, module)? {
        numbers.insert(func.to_raw(store.as_context_mut()), number);
    }
    let number_of = |store: &mut dyn FnMut(&Func) -> *mut std::ffi::c_void,
                     func: Option<&Func>,
                     place: &dyn Fn() -> String| match func {
        None => Ok(0u32),
        Some(func) => numbers.get(&store(func)).copied().ok_or_else(|| {
            Error::msg(format!(
                "{} is a function that is not the module's: the host's, or another instance's",
                place()
            ))
        }),
    };
    let mut bytes = Vec::new();
    for export in module.state() {
        if export.kind == FL_STATE_GLOBAL {
            let value = global(store, instance, &export.name)?.get(store.as_context_mut());
            let number: u128 = match value {
                Val::I32(value) => value as u32 as u128,
                Val::I64(value) => value as u64 as u128,
                Val::F32(bits) => bits as u128,
                Val::F64(bits) => bits as u128,
                Val::V128(value) => value.as_u128(),
                Val::FuncRef(func) => number_of(
                    &mut |func| func.to_raw(store.as_context_mut()),
                    func.as_ref(),
                    &|| format!("global {}", export.idx),
                )? as u128,
                _ => return Err(Error::msg("a global of another type than in this module")),
            };
            bytes.extend_from_slice(&number.to_le_bytes());
        } else if export.kind == FL_STATE_TABLE {
            let table = table(store, instance, &export.name)?;
            let size = table.size(store.as_context_mut());
            bytes.extend_from_slice(&size.to_le_bytes());
            for i in 0..size {
                let Some(Ref::Func(func)) = table.get(store.as_context_mut(), i) else {
                    return Err(Error::msg("a table of another type than in this module"));
                };
                let number = number_of(
                    &mut |func| func.to_raw(store.as_context_mut()),
                    func.as_ref(),
                    &|| format!("element {i} of table {}", export.idx),
                )?;
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
    }
    Ok(bytes)
}

/// Takes so many bytes of a state, which may be hostile.
fn take<'a>(left: &mut &'a [u8], count: usize) -> Result<&'a [u8]> {
    let (taken, rest) = left
        .split_at_checked(count)
        .ok_or_else(|| Error::msg("the state ends before all globals and tables have a value"))?;
    *left = rest;
    Ok(taken)
}

fn decode(
    store: &mut impl AsContextMut,
    instance: &Instance,
    module: &Module,
    mut left: &[u8],
) -> Result<()> {
    let functions = functions(store, instance, module)?;
    let func_of = |number: u32| match number {
        0 => Ok(None),
        _ => functions
            .binary_search_by_key(&number, |entry| entry.0)
            .map(|at| Some(functions[at].1))
            .map_err(|_| Error::msg("the state has a reference of which the module makes none")),
    };
    for export in module.state() {
        if export.kind == FL_STATE_GLOBAL {
            let bits = u128::from_le_bytes(take(&mut left, VALUE_BYTES)?.try_into().unwrap());
            let value = match export.value {
                FL_VALUE_I32 => Val::I32(bits as u32 as i32),
                FL_VALUE_I64 => Val::I64(bits as u64 as i64),
                FL_VALUE_F32 => Val::F32(bits as u32),
                FL_VALUE_F64 => Val::F64(bits as u64),
                FL_VALUE_V128 => Val::V128(bits.into()),
                _ => Val::FuncRef(func_of(bits as u32)?),
            };
            global(store, instance, &export.name)?.set(store.as_context_mut(), value)?;
        } else if export.kind == FL_STATE_TABLE {
            let table = table(store, instance, &export.name)?;
            let size = u64::from_le_bytes(take(&mut left, 8)?.try_into().unwrap());
            let length = usize::try_from(size)
                .ok()
                .and_then(|size| size.checked_mul(ELEMENT_BYTES))
                .unwrap_or(usize::MAX);
            let elements = take(&mut left, length)?;
            let now = table.size(store.as_context_mut());
            let more = size
                .checked_sub(now)
                .ok_or_else(|| Error::msg("the state makes a table smaller than it begins"))?;
            if more > 0 {
                table.grow(store.as_context_mut(), more, Ref::Func(None))?;
            }
            for (i, element) in elements.chunks_exact(ELEMENT_BYTES).enumerate() {
                let func = func_of(u32::from_le_bytes(element.try_into().unwrap()))?;
                table.set(store.as_context_mut(), i as u64, Ref::Func(func))?;
            }
        }
    }
    if left.is_empty() {
        return Ok(());
    }
    Err(Error::msg("the state has bytes after its last value"))
}

/// The pool's memories of an instance, in order.
fn memories(
    store: &mut impl AsContextMut,
    instance: &Instance,
    module: &Module,
) -> Result<Vec<*mut fl_memory>> {
    let mut found = Vec::new();
    for export in module.state().iter().filter(|export| export.kind == FL_STATE_MEMORY) {
        let memory = instance
            .get_memory(store.as_context_mut(), &export.name)
            .ok_or_else(|| not_of_this_module(&export.name))?;
        let base = memory.data_ptr(store.as_context_mut());
        let memory = unsafe { fl_memory_find(module.pool().inner.pool, base.cast()) };
        if memory.is_null() {
            return Err(Error::msg("a memory of the instance is not the pool's"));
        }
        found.push(memory);
    }
    Ok(found)
}

impl Module {
    /// Runs the module's start function, if it has one: once, after an instantiation
    /// that is no clone's.
    pub fn start(&self, mut store: impl AsContextMut, instance: &Instance) -> Result<()> {
        self.check_resumable()?;
        match self.state().last() {
            Some(export) if export.kind == FL_STATE_START => func(&mut store, instance, &export.name)?
                .typed::<(), ()>(&store)?
                .call(store, ()),
            _ => Ok(()),
        }
    }

    /// Captures an instance, in which nothing runs. It lives on. An error names what
    /// cannot be captured: a function in a table or a global that is not the module's.
    pub fn snapshot(&self, mut store: impl AsContextMut, instance: &Instance) -> Result<Snapshot> {
        self.check_resumable()?;
        let memories = memories(&mut store, instance, self)?;
        let state = encode(&mut store, instance, self)?;
        let mut images = Vec::new();
        let mut raw = ptr::null_mut();
        let mut result = Ok(());
        for memory in memories {
            let mut image = ptr::null_mut();
            result =
                call(|e| unsafe { fl_image_from_memory(memory, ptr::null(), &mut image, e) });
            if result.is_err() {
                break;
            }
            images.push(image);
        }
        if result.is_ok() {
            let mut parts: fl_snapshot_parts = defaults(FL_SNAPSHOT_PARTS);
            parts.module = self.raw();
            parts.images = images.as_ptr();
            parts.image_count = images.len() as u32;
            parts.state = state.as_ptr().cast();
            parts.state_bytes = state.len() as u64;
            parts.encoding = ENCODING.as_ptr();
            result = call(|e| unsafe { fl_snapshot_create(&parts, &mut raw, e) });
        }
        images.iter().for_each(|image| unsafe { fl_image_release(*image) });
        result.map(|()| Snapshot { raw: Arc::new(Raw(raw)), module: self.clone() })
    }

    /// Opens a snapshot of this module that [`Snapshot::write`] wrote. The file is not
    /// trusted.
    pub fn open_snapshot(&self, path: impl AsRef<Path>) -> Result<Snapshot> {
        self.check_resumable()?;
        let path = CString::new(path.as_ref().to_string_lossy().as_bytes())?;
        let modules = [self.raw()];
        let mut binding: fl_snapshot_binding = defaults(FL_SNAPSHOT_BINDING);
        let mut raw = ptr::null_mut();
        binding.modules = modules.as_ptr();
        binding.module_count = 1;
        binding.encoding = ENCODING.as_ptr();
        call(|e| unsafe {
            fl_snapshot_open(self.pool().context(), path.as_ptr(), -1, 0, &binding, &mut raw, e)
        })?;
        Ok(Snapshot { raw: Arc::new(Raw(raw)), module: self.clone() })
    }
}

impl Snapshot {
    /// The module of its instances.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Writes the snapshot to a file, whole or not at all.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = CString::new(path.as_ref().to_string_lossy().as_bytes())?;
        call(|e| unsafe { fl_snapshot_write(self.raw.0, path.as_ptr(), e) })
    }

    /// [`Module::announce`], for an instantiation that becomes a clone by
    /// [`Snapshot::restore`].
    pub fn announce(&self, delta: Option<&Delta>) -> Result<Announced> {
        self.check(delta)?;
        self.module.announce_with(|idx, memory| match (memory, delta) {
            (None, _) => Ok((unsafe { fl_snapshot_image(self.raw.0, 0, idx) }, Some(0))),
            (Some(_), None) => Ok((ptr::null_mut(), None)),
            (Some(memory), Some(delta)) => call(|e| unsafe {
                fl_delta_restore_memory(delta.raw, idx, memory, e)
            })
            .map(|()| (ptr::null_mut(), None)),
        })
    }

    /// Gives the globals and tables what the snapshot, or the delta, holds.
    pub fn restore(
        &self,
        mut store: impl AsContextMut,
        instance: &Instance,
        delta: Option<&Delta>,
    ) -> Result<()> {
        self.check(delta)?;
        if let Some(delta) = delta {
            return decode(&mut store, instance, &self.module, &delta.state()?);
        }
        let mut length = 0;
        let state = unsafe {
            let at = fl_snapshot_state(self.raw.0, 0, &mut length);
            match length {
                0 => &[],
                _ => std::slice::from_raw_parts(at.cast::<u8>(), length as usize),
            }
        };
        decode(&mut store, instance, &self.module, state)
    }

    fn check(&self, delta: Option<&Delta>) -> Result<()> {
        match delta {
            Some(delta) if delta.snapshot.raw.0 != self.raw.0 => {
                Err(Error::msg("the delta was not opened with this snapshot"))
            }
            _ => Ok(()),
        }
    }

    fn begin(
        &self,
        mut store: impl AsContextMut,
        imports: &[Extern],
        delta: Option<&Delta>,
    ) -> Result<Instance> {
        let announced = self.announce(delta)?;
        let instance = Instance::new(&mut store, self.module.compiled(), imports)?;
        drop(announced);
        self.restore(store, &instance, delta)?;
        Ok(instance)
    }

    /// A clone, in any store of an engine that the module was compiled for.
    pub fn instantiate(&self, store: impl AsContextMut, imports: &[Extern]) -> Result<Instance> {
        self.begin(store, imports, None)
    }

    /// A clone that goes on where a session went to sleep.
    pub fn wake(
        &self,
        store: impl AsContextMut,
        imports: &[Extern],
        delta: &Delta,
    ) -> Result<Instance> {
        self.begin(store, imports, Some(delta))
    }

    /// Puts a clone to sleep, and ends its store. After an error store and clone live.
    #[allow(clippy::result_large_err)]
    pub fn suspend<T: 'static>(
        &self,
        mut store: Store<T>,
        instance: &Instance,
    ) -> std::result::Result<Delta, (Store<T>, Error)> {
        let result = memories(&mut store, instance, &self.module).and_then(|memories| {
            let held: Vec<*mut Memory> =
                memories.iter().map(|at| unsafe { fl_memory_user(*at).cast() }).collect();
            let delta = self.take(&mut store, instance, &memories, fl_memory_suspend)?;
            // They are gone, and the store is not to give them back again.
            for at in held {
                unsafe { (*at).forget() };
            }
            Ok(delta)
        });
        result.map_err(|error| (store, error))
    }

    /// What a clone differs by now. It lives on.
    pub fn checkpoint(&self, mut store: impl AsContextMut, instance: &Instance) -> Result<Delta> {
        let memories = memories(&mut store, instance, &self.module)?;
        self.take(&mut store, instance, &memories, fl_memory_delta)
    }

    fn take(
        &self,
        store: &mut impl AsContextMut,
        instance: &Instance,
        memories: &[*mut fl_memory],
        by: MemoryDelta,
    ) -> Result<Delta> {
        let state = encode(store, instance, &self.module)?;
        let mut parts: fl_delta_parts = defaults(FL_DELTA_PARTS);
        let mut raw = ptr::null_mut();
        parts.snapshot = self.raw.0;
        parts.memories = memories.as_ptr();
        parts.memory_count = memories.len() as u32;
        parts.state = state.as_ptr().cast();
        parts.state_bytes = state.len() as u64;
        call(|e| unsafe { by(&parts, &mut raw, e) })?;
        Ok(Delta { raw, snapshot: self.clone() })
    }

    /// A delta of bytes that [`Delta::bytes`] gave anywhere. They are not trusted.
    pub fn open_delta(&self, bytes: &[u8]) -> Result<Delta> {
        let mut raw = ptr::null_mut();
        call(|e| unsafe {
            fl_delta_open(
                self.raw.0,
                bytes.as_ptr().cast(),
                bytes.len() as u64,
                FL_BYTES_COPY,
                ptr::null(),
                &mut raw,
                e,
            )
        })?;
        Ok(Delta { raw, snapshot: self.clone() })
    }
}
